"""The options of `gdjax train --resume`."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.options import Options
from gdjax.cli.words import parse_command
from gdjax.runs import read_config

OF_THE_DAY = ("out", "allow_versions", "explain", "memory", "quiet")  # what may stand beside --resume without data
KEPT = ("checkpoint_every", "devices", "shard")  # likewise; without it, that of the run

T = TypeVar("T", bound=Options)


def complete(options: T) -> T:
    """The options; with --resume and without data, those of the run in the folder.

    Raises: UserError if they do not fit each other.
    """
    if options.resume and (options.overwrite or options.out is None):
        raise UserError("--resume needs the folder of the run, --out DIR, and no --overwrite")
    if options.data is not None:
        return options
    if not options.resume or options.out is None:
        raise UserError("data is missing: a name listed by `gdjax data`, or a file with a table")
    for field in dataclasses.fields(options):
        if field.name not in (*OF_THE_DAY, *KEPT, "resume") and getattr(options, field.name) != field.default:
            name = field.name.replace("_", "-")
            raise UserError(
                f"--resume without data takes the options of the run: give all of them, or leave out --{name}"
            )
    with user_mistakes():
        command = read_config(options.out).command
    own = parse_command(type(options), command)
    of_the_day = {name: getattr(options, name) for name in OF_THE_DAY}
    given = {name: value for name in KEPT if (value := getattr(options, name)) != getattr(Options, name)}
    return dataclasses.replace(own, resume=True, overwrite=False, **of_the_day, **given)
