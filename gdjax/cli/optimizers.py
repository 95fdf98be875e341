"""`gdjax optimizers`: the list of optimizers, or the full help of one."""

from __future__ import annotations

import dataclasses
import textwrap

from gdjax.cli.catalogue import Names, show_each
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS
from gdjax.optimizers.catalogue import entry
from gdjax.optimizers.request import default_rate


@dataclasses.dataclass(frozen=True)
class Optimizers:
    """List the optimizers: signature, memory, reference, default rate on this command line."""

    names: Names = ()
    """Those to show in full; all in short if not given."""

    def run(self, argv: list[str]) -> int:
        if self.names:
            return show_each(self.names, {**OPTIMIZERS, **WRAPPERS, **TRANSFORMS}, "optimizer")
        tables = {
            "Optimizers": OPTIMIZERS,
            "Wrappers (around an optimizer)": WRAPPERS,
            "Transforms (of the gradient, before an optimizer in a chain)": TRANSFORMS,
        }
        for title, table in tables.items():
            print(f"{title}\n")
            for name, factory in table.items():
                about = entry(factory)
                print(f"  {name}{about.signature}")
                print(textwrap.indent(about.summary, "      "))
                number = default_rate(name) if name in OPTIMIZERS else None
                rate = "" if number is None else f"   default rate: {number:g}"
                print(f"      memory: {about.memory}{rate}")
                print(f"      {about.reference}\n")
        return 0
