"""`gdjax train`: from a table to a trained model and a folder that says how it came about."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import sys
from pathlib import Path

import jax
from tqdm import tqdm

from gdjax.cli.device import use_device
from gdjax.cli.errors import user_mistakes
from gdjax.cli.options import DEFAULT_EPOCHS, Options
from gdjax.cli.plan import Job, Parts, plan, prepare
from gdjax.cli.report import report, write
from gdjax.runs import folder as record
from gdjax.training import Result, fit
from gdjax.types import RunState, Stop


@dataclasses.dataclass(frozen=True)
class Train(Options):
    """Train a model on a data set and write a run folder: config, metrics, result, parameters, pictures."""

    def run(self, argv: list[str]) -> int:
        use_device(self.device, self.dtype)
        folder = self.out or next_folder(self.data)
        with contextlib.ExitStack() as stack:
            with user_mistakes():
                place = stack.enter_context(record.new_folder(folder, self.overwrite))
                parts = prepare(self)
                job = plan(self, parts)
            result = execute(self, job, parts)
            scores = {name: job.score(result, data) for name, data in parts.named().items()}
            write(place, self, argv, job, parts, result, scores)
        if not self.quiet:
            print(report(folder, job, parts, result, scores))
        if result.stop in (Stop.NON_FINITE, Stop.DIVERGED):
            print(
                f"gdjax: the run ended {result.stop.name}: try a smaller --learning-rate or --clip 1",
                file=sys.stderr,
            )
            return 1
        return 0


def next_folder(data: str) -> Path:
    """runs/<data>-<n>, the first that is free."""
    return next(path for n in itertools.count(1) if not (path := Path("runs") / f"{Path(data).stem}-{n}").exists())


def execute(options: Options, job: Job, parts: Parts) -> Result:
    """The run, under a progress bar."""
    key = jax.random.fold_in(jax.random.key(options.seed), 1)
    params = job.model.init(jax.random.fold_in(jax.random.key(options.seed), 2))
    params = jax.tree.map(lambda p: p.astype(options.dtype), params)
    total = evaluations(options, job.batch_size, len(parts.train[0]))
    with tqdm(
        total=total, unit=" evaluations", disable=True if options.quiet else None, file=sys.stderr, leave=False
    ) as bar:
        return fit(
            job.loss_fn,
            params,
            job.optimizer,
            parts.train,
            parts.validation,
            stop=job.stop,
            every=options.every,
            batch_size=job.batch_size,
            evaluate=job.evaluate,
            key=key,
            watch=job.watch,
            progress=lambda run_state: show_progress(bar, run_state, job.metric),
            steps=options.steps,
            epochs=None if options.steps else options.epochs or DEFAULT_EPOCHS,
        )


def evaluations(options: Options, batch_size: int, rows: int) -> int:
    """How many a run has that nothing stops."""
    per_epoch = -(-rows // batch_size)
    steps = options.steps or math.ceil((options.epochs or DEFAULT_EPOCHS) * per_epoch)
    return -(-steps // (options.every or per_epoch))


def show_progress(bar: tqdm, run_state: RunState, metric: str) -> None:
    done = int(run_state.evaluations)
    last = {name: float(values[done - 1]) for name, values in run_state.history.items() if values.ndim == 1}
    shown = {
        "loss": last["loss"],
        "validation": last["validation_loss"],
        metric: last[f"validation_{metric}"],
    }
    bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
    bar.update(done - bar.n)
