"""A command by several workers of Ray, where `gdjax launch` is told to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from gdjax import cluster, launch
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.signals import Termination


def launch_on_ray(job: launch.Job, workers: int | None, min_workers: int | None, resources: Sequence[str]) -> int:
    """Run a job by workers of Ray, with the output and the exit code that it has on one machine."""
    each = dict(_resource(word) for word in resources)
    many = job.processes if workers is None else workers
    if many < 1:
        raise UserError(f"--workers must be at least 1, got {many}")
    if min_workers is not None and not 1 <= min_workers <= many:
        raise UserError(f"--min-workers must be from 1 to {many}, got {min_workers}")
    folder = launch.RunFolder(job.folder, "--resume" in job.words)
    work = functools.partial(_execute, job.words)
    on_ray = cluster.ClusterJob(
        *(work, job.folder, many, min_workers, job.devices, each, job.max_restarts), is_resumed="--resume" in job.words
    )
    streams = {"out": sys.stdout, "err": sys.stderr}
    tell = lambda kind, text: print(text, end="", file=streams[kind], flush=True)  # noqa: E731
    try:
        with user_mistakes():
            outcome = cluster.run_job(on_ray, tell, "launch")
    except RuntimeError as error:
        print(f"gdjax: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Termination) as error:
        print(f"gdjax: interrupted, {folder.left}", file=sys.stderr)
        return getattr(error, "code", 130)
    if outcome.text:
        print(outcome.text, file=sys.stderr)
    return outcome.code


def _resource(word: str) -> tuple[str, float]:
    name, _, amount = word.partition("=")
    try:
        return name, float(amount)
    except ValueError:
        raise UserError(f"--resources takes a name and a number, such as CPU=4, got {word!r}") from None


def _execute(words: tuple[str, ...], goes_on: bool) -> int:
    """The command, in a worker."""
    from gdjax.cli.main import execute  # which knows all commands, launch too

    try:
        execute(launch.going_on(words) if goes_on else [*words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
