"""A tournament of optimizers on a table: what `gdjax tournament` does."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from gdjax.files import commit_folder, write_whole
from gdjax.runs.json_text import to_text
from gdjax.runs.machine import environment
from gdjax.runs.options import ModelOptions, TrainOptions
from gdjax.runs.sweeping.folder import check_free, next_place
from gdjax.runs.sweeping.options import Space, values_of_option
from gdjax.runs.sweeping.plans import Group, Planning
from gdjax.sweeps import Progress, Tournament, tournament

TUNED = "the optimizers are `optimizers`, and each is tuned"
EQUAL = "every run goes to the end of its schedule, so that budgets are equal"
REFUSED = {  # options of `gdjax train` that a tournament has no use for
    **dict.fromkeys(("optimizer", "learning_rate", "schedule", "schedule_unit", "set"), TUNED),
    **dict.fromkeys(("patience", "min_delta"), EQUAL),
    "threshold": "optimizers are compared by the validation loss",
}


@dataclasses.dataclass(frozen=True)
class TournamentOptions(ModelOptions):
    """The options of a tournament: those of `gdjax train`, but for the optimizer and what is tuned of it."""

    optimizers: str = "sgd,momentum,rmsprop,adam,adamw,lion,muon"
    """Calls, such as "sgd,momentum(decay=0.95),adam". The rate of each is the middle of the range that is drawn from."""
    ensemble: int | None = 1
    """Networks that are averaged."""
    tune: Literal["none"] = "none"  # type: ignore[assignment]
    """Nothing but the optimizers is tuned."""
    epochs: float | None = 20
    """Length of every run, under a cosine schedule of that length."""
    draws: int = 16
    """Configurations in each tuning of an optimizer."""
    tunings: int = 10
    """Independent tunings of each, over which the differences are tested."""
    fresh: int = 3
    """Seeds with which the configuration that a tuning has chosen is run again, and judged."""
    level: float = 0.05
    """Of the test, over all pairs."""
    seed: int = 0
    """Of all draws and runs, and of the split if it has no seed of its own."""
    out: Path | None = None
    """The folder for the table, the picture and all numbers; sweeps/<data>-tournament-<n> if not given."""
    quiet: bool = False
    """No progress bar and no summary."""


@dataclasses.dataclass(frozen=True, eq=False)
class Race:
    """A tournament that is chosen and checked, before its first step."""

    data: Any
    options: TournamentOptions
    base: TrainOptions
    names: tuple[str, ...]
    group: Group
    folder: Path

    @classmethod
    def of(cls, data: Any, options: TournamentOptions) -> Race:
        """Read the table, and plan a run of each optimizer.

        Raises: ValueError, in one line, for a table, an option or a folder that cannot be used.
        """
        for name, why in REFUSED.items():
            if getattr(options, name) != getattr(ModelOptions, name):
                raise ValueError(f"`{name}` cannot be given: {why}")
        for name, least in (("draws", 1), ("tunings", 1), ("fresh", 1)):
            if not least <= getattr(options, name) <= 100_000:
                raise ValueError(f"`{name}` must be at least {least}, got {getattr(options, name)}")
        if not 0 < options.level < 1:
            raise ValueError(f"`level` must be between 0 and 1, got {options.level:g}")
        names = tuple(values_of_option("optimizer", options.optimizers))
        if len(set(names)) < max(2, len(names)):
            raise ValueError(f"`optimizers` must be at least two, each once, got {options.optimizers!r}")
        given = {field.name: getattr(options, field.name) for field in dataclasses.fields(ModelOptions)}
        base = TrainOptions.named("tournament", {**given, "optimizer": names[0]})
        planning = Planning.of(data, Space(base, {}, (options.seed,)))
        (group,) = planning.groups([{"optimizer": name} for name in names])
        folder = options.out or next_place(f"{planning.problem.table.name}-tournament")
        check_free(folder)
        return cls(data, options, base, names, group, folder)

    def run(self, tell: Callable[[Progress], None] = lambda _: None) -> Tournament:
        """Tune and run all optimizers."""
        job, parts, options = self.group.job, self.group.encoded.parts, self.options
        return tournament(
            self.group.step,
            self.group.init,
            {name: each.optimizer for name, each in zip(self.names, self.group.jobs, strict=True)},
            parts.train,
            parts.validation,
            epochs=job.epochs,
            steps=job.steps,
            every=job.every,
            batch_size=job.batch_size,
            order=job.order,
            evaluate=job.objective.evaluate,
            model_state=job.objective.model.init_state(),
            draws=options.draws,
            tunings=options.tunings,
            seeds=options.fresh,
            seed=options.seed,
            level=options.level,
            tell=tell,
        )

    def finish(self, found: Tournament, command: str) -> str:
        """Write the results; return what is to be said of them."""
        import pandas

        from gdjax.plots import save, standings

        name = self.group.encoded.subject.name
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        # a folder that is there is empty, and may be the present one or a mount: it is filled, tournament.json last
        with contextlib.nullcontext(self.folder) if self.folder.exists() else commit_folder(self.folder) as draft:
            pandas.DataFrame(found.rows()).to_csv(draft / "standings.csv", index=False)
            save(
                standings(found, f"{name}: {len(found.standings)} optimizers at equal budgets"), draft / "standings.png"
            )
            write_whole(draft / "tournament.json", to_text(self._numbers(found, command)))
        best = found.standings[0]
        said = [f"{name}: {self.group.job.objective.model}", str(found), f"the best, as it was tuned: {best.optimizer}"]
        return "\n".join([*said, f"{self.folder}: {', '.join(sorted(path.name for path in self.folder.iterdir()))}"])

    def _numbers(self, found: Tournament, command: str) -> dict[str, Any]:
        """All numbers, in the types of JSON."""
        each = [{**x._asdict(), "optimizer": repr(x.optimizer)} for x in found.standings]
        plain = {name: getattr(found, name) for name in ("monitor", "target", "batches", "draws", "tunings", "seeds")}
        base = {name: value for name, value in dataclasses.asdict(self.base).items() if value is not None}
        pairs = [pair._asdict() for pair in found.comparisons]
        told = {"command": command, "base": base, "statement": found.statement, **plain, "level": found.level}
        return {**told, "standings": each, "comparisons": pairs, **environment()}


def all_went_wrong(found: Tournament) -> bool:
    return not any(math.isfinite(each.final) for each in found.standings)
