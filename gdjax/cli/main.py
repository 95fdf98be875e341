"""The entry point `gdjax`: parses, dispatches, and prints errors on one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import jax
import tyro

from gdjax import processes
from gdjax.cli.commands import COMMANDS, command
from gdjax.cli.errors import UserError, one_line
from gdjax.cli.signals import Termination, terminating
from gdjax.cli.words import MARK, mark, unmark
from gdjax.runs import CheckpointError
from gdjax.text import did_you_mean
from gdjax.version import __version__

DESCRIPTION = "Gradient descent in JAX, from one command. `gdjax train digits` is a good first one."


def main(argv: list[str] | None = None) -> None:
    """Run one command.

    Exit codes: 0 done, 1 done with a bad result, 2 a mistake of the user's, 130 interrupted, 143 terminated.
    """
    with processes.leaving():
        execute(sys.argv[1:] if argv is None else argv)


def execute(argv: list[str]) -> None:
    """Run one command, and raise SystemExit with its exit code, in a process that goes on."""
    try:
        with terminating():
            asked = parse(argv)
            _use_compilation_cache()
            sys.exit(asked.run(argv))
    except UserError as error:
        print(f"gdjax: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, such as `head`, has stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (CheckpointError, processes.ProcessError) as error:
        print(f"gdjax: {one_line(error)}", file=sys.stderr)
        sys.exit(getattr(error, "code", 1))
    except (MemoryError, OSError, jax.errors.JaxRuntimeError) as error:
        print(f"gdjax: this machine cannot do it: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, Termination) as error:
        how, code = ("interrupted", 130) if isinstance(error, KeyboardInterrupt) else ("terminated", 143)
        print(f"gdjax: {how}, nothing written", file=sys.stderr)
        sys.exit(code)


def parse(argv: list[str]) -> Any:
    """The command of the given words.   Raises: UserError, in one line, if they do not fit it."""
    if argv == ["--version"]:
        print(f"gdjax {__version__}")
        sys.exit(0)
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise UserError(f"no command {argv[0]!r}: {did_you_mean(argv[0], COMMANDS)}")
    _check_given_once(argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            words = mark(argv) or ["--help"]
            if argv and argv[0] in COMMANDS:
                return unmark(tyro.cli(command(argv[0]), args=words[1:], prog=f"gdjax {argv[0]}"))
            every = {name: command(name) for name in COMMANDS}
            found = tyro.extras.subcommand_cli_from_dict(every, args=words, prog="gdjax", description=DESCRIPTION)
            return unmark(found)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue()).replace(MARK, "")) from None


def _check_given_once(argv: list[str]) -> None:
    """Raise UserError for an option of a run that is given twice with other values, since only the last would count."""
    given: list[list[str]] = [[]]
    for word in argv:
        given += [word.split("=", 1)] if word.startswith("--") else []
        given[-1] += [] if word.startswith("--") else [word]
    if argv[:1] and argv[0] in ("train", "sweep", "find-lr", "tournament"):
        for option, *values in given[1:]:
            if any(option == other and values != others for other, *others in given[1:]):
                raise UserError(f"{option} is given more than once: give it once, with all its values")


def _one_line(box: str) -> str:
    """The sentences of a boxed message, without its frame and title."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    sentences = [line for line in lines[1:] if line.strip("-") and not line.startswith(("For full helptext", "gdjax "))]
    return re.sub(r"([:,]);", r"\1", "; ".join(sentences)) + " (see --help)"


def _use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, for later commands."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(home) / "gdjax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


if __name__ == "__main__":
    main()
