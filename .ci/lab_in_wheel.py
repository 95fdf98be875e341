"""The build's hook: a wheel holds the experiments as `gdjax.lab`; an editable installation uses those of the checkout."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LabInWheel(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["experiments"] = "gdjax/lab"
