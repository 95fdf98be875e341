"""Checks of output files, made before a command runs."""

from __future__ import annotations

import os
from pathlib import Path

from gdjax.cli.errors import UserError


def check_picture(option: str, path: Path | None, endings: tuple[str, ...]) -> None:
    """Raise UserError if a picture cannot be written to path; None means no picture."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        *first, last = endings
        raise UserError(f"{option} must end in {', '.join(first)}{' or ' * bool(first)}{last}, got {path}")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UserError(f"{option} must be in a folder that exists, got {path}: no folder {parent}")
    if path.is_dir():
        raise UserError(f"{option} must be a file, got the folder {path}")
    if not os.access(parent, os.W_OK):
        raise UserError(f"{option} must be in a folder that can be written, got {path}")
