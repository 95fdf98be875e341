"""What a sweep leaves in its folder.

sweep.json    the whole configuration: the options, the table, the axes, the seeds, versions, and how its lanes were run
sweep.csv     a row for each run: its axes, its seed, how it ended, its best value, and the `gdjax train` that repeats it
sweep.png     the values against an axis, over two axes, or over many
lanes/        what the sweep goes on from
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.files import replacing, write_whole
from gdjax.runs.damage import RecordError, reading
from gdjax.runs.json_text import from_text, read_bytes, to_text
from gdjax.runs.machine import environment
from gdjax.runs.sweeping.options import SweepOptions
from gdjax.runs.sweeping.plans import Group, Planning
from gdjax.runs.sweeping.stages import as_words
from gdjax.sweeps import SweepTable
from gdjax.text import short
from gdjax.training.identity import differences

VERSION = 1
FILE = "sweep.json"
METHOD = ("random", "latin", "sampler", "trials", "halving", "seed", "lanes", "memory")  # how runs are chosen and run
FREE = ("command", "platform", "git_revision", "started", "ways", "best")  # what may differ where a sweep goes on
ENVIRONMENT = ("versions", "device", "cores")  # what changes bits only by rounding


@dataclasses.dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep, and its configuration."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def open(
        cls,
        options: SweepOptions,
        planning: Planning,
        groups: Sequence[Group],
        configurations: Sequence[Mapping[str, Any]],
        command: str,
    ) -> SweepFolder:
        """A new folder, or that of the same sweep.

        Raises: RecordError, in one line, for a folder that is there, or with `resume` that of another sweep.
        """
        path = options.out or next_place(planning.problem.table.name)
        config = config_of(options, planning, groups, configurations, command)
        if options.resume:
            _check(path, config, options.allow_versions)
        else:
            check_free(path)
            path.mkdir(parents=True, exist_ok=True)
            write_whole(path / FILE, to_text(config))
        return cls(path, config)

    @property
    def lanes(self) -> Path:
        """The place of what the sweep goes on from."""
        return self.path / "lanes"

    def finish(self, table: SweepTable, commands: Sequence[str], metric: str, title: str) -> None:
        """Write the results; sweep.json last."""
        frame = table.to_pandas()
        frame[metric] = metric_of(table, metric)
        frame["command"] = list(commands)
        with replacing(self.path / "sweep.csv") as draft:
            frame.to_csv(draft, index=False)
        if not table.wrong.all() and has_axes(table):
            from gdjax.plots import save, sweep_values  # of the extra `lab`

            save(sweep_values(table, title), self.path / "sweep.png")
        places = sorted(self.lanes.glob("*/*"), key=lambda place: (int(place.parent.name), int(place.name)))
        ways = [way for place in places for way in _ways(place)]
        best = table.top(1)[0]._asdict() if not table.wrong.all() else None
        write_whole(self.path / FILE, to_text({**self.config, "ways": ways, "best": best}))

    def contents(self) -> str:
        return f"{self.path}: {', '.join(sorted(place.name for place in self.path.iterdir()))}"

    def last_words(self) -> str:
        """How an interrupted sweep goes on."""
        return f"what was found is kept; gdjax sweep --resume --out {shlex.quote(str(self.path))} goes on"


def config_of(
    options: SweepOptions,
    planning: Planning,
    groups: Sequence[Group],
    configurations: Sequence[Mapping[str, Any]],
    command: str,
) -> dict[str, Any]:
    """What identifies a sweep, in the types of JSON."""
    problem, space = planning.problem, planning.space
    method = {name: getattr(options, name) for name in METHOD}
    base = {name: value for name, value in dataclasses.asdict(space.base).items() if value is not None}
    found = {
        "version": VERSION,
        "command": command,
        "data": {
            "name": problem.table.name,
            "hash": problem.hash(),
            "rows": {name: len(rows) for name, rows in problem.parts()},
        },
        "base": base,
        "method": method,
        "axes": {name: repr(axis) for name, axis in space.axes.items()},
        "seeds": space.seeds,
        "configurations": [as_words(each) for each in configurations],
        "models": [repr(group.job.objective.model) for group in groups],
        **environment(),
    }
    return from_text(to_text(found).encode())


def _check(path: Path, config: Mapping[str, Any], allow_versions: bool) -> None:
    there = read_sweep(path)
    other = [name for name in config if name not in FREE and there.get(name) != config[name]]
    lasting = [name for name in other if name not in ENVIRONMENT]
    if lasting:
        there, here = ({name: each.get(name) for name in lasting} for each in (there, config))
        raise RecordError(f"{path} is another sweep: {short(differences(there, here)[0], 160)}; give its own options")
    if other and not allow_versions:
        raise RecordError(
            f"{path} was run elsewhere: {', '.join(other)} differ; `allow_versions` goes on, but the bits may differ"
        )


def read_sweep(path: Path) -> dict[str, Any]:
    """The configuration of a sweep.   Raises: RecordError, in one line, if it is missing or damaged."""
    if not (path / FILE).is_file():
        raise RecordError(f"{path} holds no sweep to go on with: leave out `resume` to begin one")
    with reading(path):
        found = from_text(read_bytes(path / FILE))
        if not isinstance(found, dict) or found.get("version") != VERSION or not isinstance(found.get("command"), str):
            raise ValueError(f"{FILE} must be of version {VERSION}")
    return found


def _ways(place: Path) -> list[dict[str, Any]]:
    """How the lanes of a kind were run: its own record says."""
    return json.loads((place / FILE).read_text())["ways"]


def check_free(path: Path) -> None:
    """Raise RecordError for a path where there is something, or where no folder can be made."""
    place = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if (not place.is_dir() and place != path.absolute()) or (place.is_dir() and not os.access(place, os.W_OK)):
        raise RecordError(f"{path} must be {'' if place == path.absolute() else 'in '}a folder that can be written")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        what = "; `resume` goes on with the sweep there" if (path / FILE).is_file() else ""
        raise RecordError(f"{path} exists: choose another `out`{what}")


def next_place(name: str) -> Path:
    """The first folder sweeps/<name>-<n> that does not exist."""
    return next(path for n in itertools.count(1) if not (path := Path("sweeps") / f"{Path(name).stem}-{n}").exists())


def has_axes(table: SweepTable) -> bool:
    return len({str(each) for each in table.configurations}) > 1


def metric_of(table: SweepTable, metric: str) -> list[float]:
    """The metric of the validation rows at the best evaluation of each run; NaN where there is none."""
    found = []
    for history, epoch in zip(table.histories or (), table.best_epoch, strict=True):
        at = np.flatnonzero(history["epoch"] == epoch)
        found.append(float(history[f"validation_{metric}"][at[0]]) if len(at) else np.nan)
    return found
