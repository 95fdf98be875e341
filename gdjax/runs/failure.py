"""What a run leaves that has gone wrong, and how it is explained.

failure.json   the step, what is not finite after it, the rows of its batch, its learning rate
failure/       the state before it, as `save_run` writes it
"""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gdjax import processes
from gdjax.backprop import replay
from gdjax.files import write_whole
from gdjax.runs.compare import CHECKPOINTS, saved_steps
from gdjax.runs.config import RunConfig
from gdjax.runs.damage import RecordError, reading
from gdjax.runs.json_text import from_text, read_bytes, to_text
from gdjax.runs.resuming import ENVIRONMENT, identity_of
from gdjax.text import listing
from gdjax.training import CheckpointError, Failure, Fitting, find_failure, learning_rate, load_run, save_run
from gdjax.training.cause import raise_cause
from gdjax.training.failure import is_finite
from gdjax.types import RunState, Stop

FILE, STATE = "failure.json", "failure"
ELSEWHERE = (*ENVIRONMENT, "platform")  # what may differ where a failure is explained, although the bits may differ


@dataclasses.dataclass(frozen=True)
class Record:
    """What failure.json holds."""

    step: int  # number of the batch in the run, from 0
    leaves: tuple[str, ...]  # what is not finite after it
    rows: tuple[int, ...]  # of the training data, in the batch
    learning_rate: float | None  # None if the leaves' rates differ, or there is none


def advise(place: Path, config: RunConfig, fitting: Fitting) -> str:
    """What to do after a run that has gone wrong; where a step is to blame, it is written too."""
    advice = "try a smaller --learning-rate or --clip 1"
    record = write_failure(place, config, fitting) if int(fitting.run_state.stop) == Stop.NON_FINITE else None
    if record is None:
        return advice
    return f"{advice}; gdjax replay {shlex.quote(str(place))} shows what went wrong in step {record.step}"


def write_failure(place: Path, config: RunConfig, fitting: Fitting) -> Record | None:
    """Find the step with which a run has gone wrong, and write it with the state before it; None if there is none.

    The run is repeated from its newest checkpoint that is finite, else from its start.

    Args:
        fitting: the run at its end.
    """
    good, batches = _last_good(place, config, fitting), int(fitting.run_state.state.batches)
    failure = _find(fitting, good, batches)
    if failure is None:
        return None
    rate = learning_rate(failure.state)
    record = Record(
        step=int(failure.state.batches),
        leaves=failure.leaves,
        rows=tuple(
            np.asarray(failure.rows)[slice(None) if failure.mask is None else np.asarray(failure.mask)].tolist()
        ),
        learning_rate=None if rate is None else float(rate),
    )
    save_run(place / STATE, failure.run_state, identity_of(config))
    if processes.index() == 0:
        write_whole(place / FILE, to_text(dataclasses.asdict(record)))
    return record


def _find(fitting: Fitting, good: RunState, batches: int) -> Failure | None:
    rows = fitting.data, fitting.validation
    return find_failure(fitting.run, good, *rows, batches=batches, every=int(fitting.period))


def _last_good(place: Path, config: RunConfig, fitting: Fitting) -> RunState:
    """The newest checkpoint of a run that is finite, else its start."""
    for step in reversed(saved_steps(place)):
        try:
            saved = load_run(place / CHECKPOINTS / str(step), fitting.run_state, identity_of(config), ignore=ELSEWHERE)
        except CheckpointError:
            continue
        if is_finite(saved):
            return saved
    return fitting.start()


def read_failure(folder: Path) -> Record:
    """The record of a run folder.   Raises: RecordError with a message of one line."""
    path = folder / FILE
    if not path.is_file():
        raise RecordError(f"{folder} must be the folder of a run that has gone wrong (with a {FILE})")
    with reading(path):
        fields = from_text(read_bytes(path))
        rate = fields["learning_rate"]
        return Record(
            step=int(fields["step"]),
            leaves=tuple(map(str, fields["leaves"])),
            rows=tuple(map(int, fields["rows"])),
            learning_rate=None if rate is None else float(rate),
        )


def explain_failure(folder: Path, config: RunConfig, fitting: Fitting) -> str | None:
    """Repeat the step with which a run has gone wrong, in the program of the run, and say where; None if it is finite here.

    Args:
        config, fitting: those of the run, built anew.

    Raises: RecordError or CheckpointError if the folder holds no such step, or that of another run.
    """
    record = read_failure(folder)
    before = load_run(folder / STATE, fitting.run_state, identity_of(config), ignore=ELSEWHERE)
    if int(before.state.batches) != record.step:
        raise RecordError(f"{folder / STATE} must be the state before step {record.step}, got {before.state.batches}")
    failure = _find(fitting, before, record.step + 1)
    return None if failure is None else "\n".join(_sentences(record, fitting.epoch.step, failure))


def _sentences(record: Record, step: Any, failure: Failure) -> list[str]:
    rate = "" if record.learning_rate is None else f", at learning rate {record.learning_rate:g}"
    found = [f"Step {record.step} was repeated from the saved state{rate}, and goes wrong again."]
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):  # they are explained in words
        try:
            raise_cause(step.loss, failure.state.params, failure.batch, failure.state.model_state)
        except ValueError as error:
            found.append(str(error))
        birth = replay(step, failure.state, failure.batch, failure.mask, failure.after)
    if birth is None:
        return found
    found.append(str(birth))
    if birth.rows:
        found.append(
            f"In the training data: row{'s' * (len(birth.rows) > 1)} {listing(_numbers(failure, birth.rows))}."
        )
    return found


def _numbers(failure: Failure, rows: tuple[int, ...]) -> list[str]:
    return [str(int(failure.rows[row])) for row in rows]
