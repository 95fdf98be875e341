"""The checkpoints of a run: saved while it goes on, kept by rule, restored from the newest step that verifies."""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import sys
import warnings
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gdjax.domain import as_length
from gdjax.files import present, present_names, remove_folder, remove_leftovers, sync
from gdjax.training.checkpoint import Checkpoint, read_checkpoint, read_manifest, write_checkpoint, writing
from gdjax.training.identity import full_identity, plain
from gdjax.training.manifest import CheckpointError, place_errors
from gdjax.training.snapshot import Snapshot, check_run_state, step_of, take_snapshot
from gdjax.training.together import ALONE, Alone, processes_of
from gdjax.types import RunState

STEP = re.compile(r"0|[1-9]\d*")


class Checkpoints:
    """The checkpoints of one run, each in its own folder `folder/<step>`, where a step is a batch; see `save_run`.

        with gd.Checkpoints("checkpoints", identity={"data": data_hash, "config": config}) as checkpoints:
            run_state, _ = checkpoints.restore(run_state) or (run_state, None)
            for run_state in gd.segments(run, run_state, data, validation, until=100, keep=False):
                checkpoints.save(run_state)

    Args:
        folder: it is made by the first save. One process at a time may save there, or all that share a state that is spread
            over several hosts: they call every method in the same order, and an error in one is an error in all.
        identity: what identifies the run, as for `save_run` and `load_run`.
        keep_last: how many of the newest steps to keep, at least 1.
        keep_best: also the steps that first reached one of this many lowest values of `run_state.best_value`.
        keep_every: also the first step at or after each multiple of this many steps; 0 for none.

    A step is there whole or not at all, and older steps are removed only when a newer one is on the disk. A save that fails
    raises a CheckpointError at the next save, at `wait`, at `close` or at the end of the `with` block, where what is being
    written is waited for. A process that exits without them waits too, and prints what failed.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run, data = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence")), jnp.array([1.0, 3.0])
    >>> run_state = gd.start_run(run, gd.make_state(0.5, gd.sgd(0.25)), gd.stopping.never(), data, None)
    >>> with gd.Checkpoints("saved", keep_last=2) as checkpoints:
    ...     for run_state in gd.segments(run, run_state, data, until=4, seconds=0):
    ...         checkpoints.save(run_state)
    >>> with gd.Checkpoints("saved") as checkpoints:
    ...     restored, _ = checkpoints.restore(run_state)
    >>> print(checkpoints.steps, restored.history["loss"] == run_state.history["loss"])
    [6, 8] [ True  True  True  True]
    """

    def __init__(
        self,
        folder: str | Path,
        identity: Mapping[str, Any] | None = None,
        keep_last: int = 3,
        keep_best: int = 0,
        keep_every: int = 0,
    ):
        self.folder: Path = Path(folder).absolute()
        self._given = identity
        self._keep = (
            as_length("Checkpoints", "keep_last", keep_last),
            as_length("Checkpoints", "keep_best", keep_best, least=0),
            as_length("Checkpoints", "keep_every", keep_every, least=0),
        )
        self._worker = ThreadPoolExecutor(1, "checkpoints")  # at exit, Python waits for what it has begun
        self._pending: deque[Future[None]] = deque()
        self._failures: deque[_Failure] = deque()
        self._values: dict[int, float | None] = {}  # of the steps on the disk
        self._newest = -1  # the newest step that was saved or restored here
        self._passed_over: set[int] = set()  # the steps that did not verify, which are left alone
        self._closed = False
        self._together = ALONE

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The identity with versions, cores and platform."""
        return full_identity("Checkpoints", self._given)

    @property
    def steps(self) -> list[int]:
        """The steps on the disk, in order."""
        return steps_in(self.folder)

    def save(self, run_state: RunState, extra: Any = None) -> None:
        """Copy the state to the host, where it may be donated at once, and write it while the caller goes on.

        One save is written and one waits; another is waited for.

        Args:
            run_state: as for `save_run`.
            extra: what belongs to this state besides, of JSON's types; `restore` returns it.

        Raises: CheckpointError if an earlier save has failed (this one is not begun then), or if the folder holds a newer
            step that was neither saved nor restored here.
        """
        check_run_state("Checkpoints.save", "run_state", run_state)
        if self._closed:
            raise CheckpointError(f"Checkpoints.save: {self.folder} was closed")
        together = self._processes_of(run_state)
        while self._pending and together is not ALONE:  # a failure is told at the same save in all processes
            self._pending.popleft().result()
        self._raise_failure()
        extra, step = plain("Checkpoints.save", "extra", extra), step_of(run_state)
        with writing(f"Checkpoints: step {step} in {self.folder}"):
            together.lead(lambda: self._check_order(step))
        while len(self._pending) > 1:
            self._pending.popleft().result()
        snapshot = take_snapshot("Checkpoints.save", run_state)
        self._newest = step
        self._pending.append(self._worker.submit(self._commit, snapshot, self.identity, extra, together))

    def restore(self, like: RunState, ignore: Collection[str] = ()) -> tuple[RunState, Any] | None:
        """(run_state, extra) of the newest step that verifies; None where there is no step. Nothing changes on the disk.

        Args:
            like, ignore: as for `load_run`.

        Warns: of each newer step that is passed over, with what is wrong with it.
        Raises: CheckpointError if there are steps and none verifies, or if the one that does is not like `like`.
        """
        check_run_state("Checkpoints.restore", "like", like)
        self.wait()
        together, faults = self._processes_of(like), dict[int, str]()
        for step in reversed(together.lead(lambda: self.steps)):
            try:
                checkpoint = together.agree(functools.partial(self._verified, step, ignore, together))
            except CheckpointError as error:
                faults[step] = f"step {step}: {error}"
                continue
            with place_errors(f"Checkpoints.restore: step {step} in {self.folder}"):
                run_state = together.agree(functools.partial(checkpoint.fit, like))
            if faults:
                warnings.warn(f"step {step} is restored, not {'; '.join(faults.values())}", stacklevel=2)
            self._newest, self._passed_over = step, set(faults)
            return run_state, checkpoint.manifest["extra"]
        if faults:
            raise CheckpointError(
                f"Checkpoints.restore: no step in {self.folder} verifies; {'; '.join(faults.values())}"
            )
        return None

    def _verified(self, step: int, ignore: Collection[str], together: Alone) -> Checkpoint:
        """The checkpoint of a step, of which each process looks at a part."""
        checkpoint = read_checkpoint(present(self.folder / str(step)))
        if checkpoint.manifest["step"] != step:
            raise CheckpointError(f"it is step {checkpoint.manifest['step']}, under another name")
        if together.index == 0:  # another host may have another number of cores
            checkpoint.check_identity(self.identity, ignore, strict=self._given is not None)
        checkpoint.check_leaves(together.index, together.count)
        return checkpoint

    def _processes_of(self, run_state: RunState) -> Alone:
        """Those that save and restore together; made once, since a thread uses it."""
        if self._together is ALONE:
            self._together = processes_of(run_state)
        return self._together

    def wait(self) -> None:
        """Return when what was saved is on the disk.   Raises: CheckpointError if a save has failed."""
        while self._pending:
            self._pending.popleft().result()
        self._raise_failure()

    def close(self) -> None:
        """Wait, and accept no more.   Raises: CheckpointError if a save has failed."""
        self._closed = True
        self._worker.shutdown()
        self.wait()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.close()
        except CheckpointError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # the body's own error is not hidden

    def _check_order(self, step: int) -> None:
        """Raise CheckpointError for a step that would come before, or replace, one of another run."""
        found = max(set(self.steps) - self._passed_over, default=-1)
        newest = max(found, self._newest)
        if step < newest or (step == newest and newest != self._newest):
            raise CheckpointError(
                f"Checkpoints.save: {self.folder} holds step {newest} already, and this is step {step}: restore it to go on "
                "from there, or choose another folder"
            )

    def _commit(self, snapshot: Snapshot, identity: Mapping[str, Any], extra: Any, together: Alone = ALONE) -> None:
        """Write a step, then remove those that need not be kept; a failure is stored."""
        step, place = snapshot.step, f"Checkpoints: step {snapshot.step} in {self.folder}"
        try:
            with writing(place):
                together.lead(self._make_room)
                write_checkpoint(self.folder / str(step), snapshot, identity, extra, together)
                self._values[step] = snapshot.value
                self._passed_over.discard(step)
            with writing(f"{place} is saved, but older steps"):
                together.lead(lambda: self._prune(step))
        except Exception as error:
            known = isinstance(error, CheckpointError)
            self._failures.append(_Failure(error if known else CheckpointError(f"{place}: {error!r}")))

    def _make_room(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            sync(self.folder.parent)
        remove_leftovers(self.folder, STEP)

    def _prune(self, newest: int) -> None:
        steps = [step for step in self.steps if step <= newest and step not in self._passed_over]
        for step in set(steps) - self._values.keys():
            with contextlib.suppress(CheckpointError):  # what cannot be read is left alone
                self._values[step] = read_manifest(present(self.folder / str(step)))["value"]
        values = {step: self._values[step] for step in steps if step in self._values}
        for step in sorted(values.keys() - steps_to_keep(values, *self._keep)):
            remove_folder(present(self.folder / str(step)))
            del self._values[step]

    def _raise_failure(self) -> None:
        if self._failures:
            failure = self._failures.popleft()
            failure.withdraw()
            raise failure.error


def steps_in(folder: Path) -> list[int]:
    """The steps of a folder of checkpoints, in order."""
    return sorted(int(name) for name in present_names(folder) if STEP.fullmatch(name))


class _Failure:
    """A save that failed: printed at exit, unless somebody was told before."""

    def __init__(self, error: CheckpointError):
        self.error = error
        atexit.register(self._print)

    def _print(self) -> None:
        print(f"gdjax: {self.error}", file=sys.stderr)

    def withdraw(self) -> None:
        atexit.unregister(self._print)


def steps_to_keep(values: Mapping[int, float | None], last: int, best: int, every: int) -> set[int]:
    """The steps to keep, of step -> best value so far; see `Checkpoints`."""
    steps = sorted(values)
    reached: dict[float, int] = {}
    firsts: dict[int, int] = {}
    for step in steps:
        if (value := values[step]) is not None:
            reached.setdefault(value, step)
        if every and step >= every:
            firsts.setdefault(step // every, step)
    return {*steps[-last:], *firsts.values(), *(reached[value] for value in sorted(reached)[:best])}
