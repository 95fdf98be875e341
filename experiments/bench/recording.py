"""The command line of a benchmark, and its figures as JSON: a path that cannot be written is refused at once."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax

from gdjax.files import draft_path, write_whole


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def arguments(doc: str | None, repeats: int | None = None) -> argparse.ArgumentParser:
    """The parser that every benchmark starts from; with --repeats, if it has a number of them."""
    parser = _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=_writable, help="also write the figures there")
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, help="rounds of the interleaved timing")
    return parser


def _writable(text: str) -> Path:
    """The path, if a file can be written there."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder")
    try:
        draft = draft_path(path)
        draft.touch()
        draft.unlink()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {getattr(error, 'strerror', error)}") from None
    return path


def write(path: Path | None, figures: Mapping[str, Any]) -> None:
    """The figures as JSON, with the device, the date and the command; nowhere if there is no path."""
    device = jax.devices()[0]
    about = {"device": f"{device.platform}: {device.device_kind}", "jax": jax.__version__}
    about["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    about["command"] = command()
    write_plain(path, {**about, **figures})


def write_plain(path: Path | None, figures: Mapping[str, Any]) -> None:
    """The figures as JSON, and no more."""
    if path is not None:
        write_whole(path, json.dumps(figures, indent=2) + "\n")


def command() -> str:
    """What was typed, but for the file that is written."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    given = [word for word in sys.argv[1:] if not word.startswith("--json=")]
    if "--json" in given:
        del given[given.index("--json") : given.index("--json") + 2]
    name = sys.argv[0] if spec is None else spec.name.removesuffix(".__main__")
    return " ".join(["python -m", name, *given])
