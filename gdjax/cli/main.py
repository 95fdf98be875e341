"""The entry point `gdjax`: parse, dispatch, and keep errors to one line."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import jax
import tyro

from gdjax.cli.backprop import Backprop, Check
from gdjax.cli.catalogue import Data, Optimizers
from gdjax.cli.certify import Certify
from gdjax.cli.errors import UserError
from gdjax.cli.inspect import Evaluate, Predict
from gdjax.cli.minimize import Minimize
from gdjax.cli.train import Train

Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Minimize, tyro.conf.subcommand("minimize")]
    | Annotated[Backprop, tyro.conf.subcommand("backprop")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Certify, tyro.conf.subcommand("certify")]
    | Annotated[Optimizers, tyro.conf.subcommand("optimizers")]
    | Annotated[Data, tyro.conf.subcommand("data")]
)
DESCRIPTION = "Gradient descent in JAX, from one command. `gdjax train digits` is a good first one."


def main(argv: list[str] | None = None) -> None:
    """Run one command. Exit codes: 0 done, 1 done with a bad result, 2 a mistake of the user's, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        command = _parse(argv)
        _use_compilation_cache()
        sys.exit(command.run(argv))
    except UserError as error:
        print(f"gdjax: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("gdjax: interrupted, nothing written", file=sys.stderr)
        sys.exit(130)


def _parse(argv: list[str]) -> Train | Evaluate | Predict | Minimize | Backprop | Check | Certify | Optimizers | Data:
    """tyro's answer; its boxed complaints as one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(Command, args=argv or ["--help"], prog="gdjax", description=DESCRIPTION)  # type: ignore[arg-type]
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue())) from None


def _one_line(box: str) -> str:
    """The sentences of a boxed message, without its frame, title and pointer to --help."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    told = [line for line in lines[1:] if line.strip("-") and not line.startswith(("For full helptext", "gdjax "))]
    return "; ".join(told).replace(":;", ":") + " (see --help)"


def _use_compilation_cache() -> None:
    """Programs compiled by earlier commands are found again in the user's own cache folder."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(home) / "gdjax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


if __name__ == "__main__":
    main()
