"""`gdjax lab`: the experiments, one of them or all."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys

import jax
import tyro

from gdjax.cli.errors import UserError
from gdjax.cli.laboratory import Everything, module_of
from gdjax.cli.words import MARK
from gdjax.text import did_you_mean, table


@dataclasses.dataclass(frozen=True)
class Lab(Everything):
    """Run the experiments: each asks a question of the lectures, computes the answer, and checks its claims.

    `gdjax lab` runs all of them, each in its own process; the exit code is 1 if a claim of any does not hold. `gdjax lab
    step_size` runs one; its own options come after its name, and `gdjax lab step_size --help` tells them. Either writes
    pictures and records into the folder `lab`, if --out names no other.
    """

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """One experiment, and its options; all are run if not given."""
    list: bool = False
    """Print the names of all, and what each asks."""

    def run(self, argv: list[str]) -> int:
        record = importlib.import_module(module_of("lab.record"))
        if self.list:
            print(table([("experiment", "asks"), *((name, record.question_of(name)) for name in record.names())]))
            return 0
        if not self.words:
            return importlib.import_module(module_of("lab.everything")).run_all(self)
        if self != dataclasses.replace(type(self)(), words=self.words):
            raise UserError(f"the options of {self.words[0]} come after its name: see gdjax lab {self.words[0]} --help")
        name, *options = (word.removeprefix(MARK) for word in self.words)
        if name not in record.names():
            raise UserError(f"no experiment {name!r}: {did_you_mean(name, record.names())}")
        sys.argv = [name, *options]
        jax.config.update(
            "jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR")
        )  # some time compiling
        importlib.import_module(module_of(name)).main()
        return 0
