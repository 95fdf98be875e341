"""`gdjax optimizers` and `gdjax data`: what there is to choose from."""

from __future__ import annotations

import dataclasses
import textwrap

from gdjax.cli.errors import user_mistakes
from gdjax.cli.specs import default_rate
from gdjax.data import SOURCES, describe, load
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS
from gdjax.optimizers.catalogue import entry


@dataclasses.dataclass(frozen=True)
class Optimizers:
    """List the optimizers: signature, memory, reference, default rate on this command line."""

    def run(self, argv: list[str]) -> int:
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


@dataclasses.dataclass(frozen=True)
class Data:
    """List the data sets by name; files in .csv and .npz are read too (gdjax train table.csv --target column)."""

    shapes: bool = False
    """Also load each one and print its shape."""

    def run(self, argv: list[str]) -> int:
        width = max(map(len, SOURCES))
        for name in SOURCES:
            print(f"  {name:<{width}}  {describe(name)}")
            if self.shapes:
                with user_mistakes():
                    data = load(name)
                classes = f", {len(data.target_names)} classes" if data.task == "classification" else ""
                print(f"  {'':<{width}}  {data.x.shape[0]} rows, {data.x.shape[1]} features{classes}")
        return 0
