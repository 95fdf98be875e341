"""Successive halving over lanes: after some evaluations the best configurations go on from their states, and the rest leave.

The lanes of those that go on are packed into blocks of their own, so that nothing is trained twice and no lane that has left
is computed. All states of a rung are kept until the sweep has ended, so that it can be resumed anywhere.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.sweeps.blocks import Block, Outcome, Running, blocks_of, start_block
from gdjax.sweeps.halving import successive_halving
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.study import FILLER, Study
from gdjax.sweeps.table import SweepTable
from gdjax.sweeps.ways import Way

Narrow = Callable[[Study, int], Way]  # the way for so many configurations of a study
Run = Callable[[list[tuple[Study, Block]], Nowhere], list[Outcome]]
Place = tuple[int, int]  # a configuration and a seed


def run_rungs(
    studies: Sequence[Study],
    seeds: Sequence[int],
    rungs: Sequence[int],
    narrow: Narrow,
    run: Run,
    store: Nowhere,
    judge: Callable[[list[Outcome]], SweepTable],
) -> list[Outcome]:
    """What became of all lanes: of those that left, on their last rung.

    Args:
        rungs: evaluations after which configurations leave, and at last those of a whole run.
        run: tasks and a store -> what became of their lanes.
        judge: outcomes -> their table, in whose order configurations go on.
    """
    between, found = Between(store), dict[Place, Outcome]()

    def advance(numbers: list[int], until: float) -> list[float]:
        last = until == rungs[-1]  # which ends as each study does
        outcomes = run(between.tasks(studies, seeds, numbers, None if last else int(until), narrow), between)
        found.update({each[:2]: each for each in outcomes})
        place = {each.number: i for i, each in enumerate(judge(outcomes).top(len(numbers)))}
        return [place[number] for number in numbers]

    successive_halving(advance, range(sum(study.settings.number.size for study in studies)), rungs)
    between.end()
    return [*found.values()]


class Between(Nowhere):
    """A store that also hands the states of a rung to the next."""

    store: Nowhere
    rung: int

    def __init__(self, store: Nowhere):
        self.store, self.rung, self._lock = store, -1, threading.Lock()
        self._before: dict[Block, Running] = {}
        self._now: dict[Block, Running] = {}
        self._ended: list[tuple[Study, Block, list[Outcome]]] = []

    def tasks(
        self, studies: Sequence[Study], seeds: Sequence[int], numbers: Sequence[int], until: int | None, narrow: Narrow
    ) -> list[tuple[Study, Block]]:
        """The blocks of the next rung."""
        self.rung, self._before, self._now = self.rung + 1, self._now, {}
        parts = [(study, study.settings.take(np.isin(study.settings.number, numbers))) for study in studies]
        sized = [(study, own, own.number.size) for study, own in parts if own.number.size]
        narrowed = [dataclasses.replace(study, settings=own, way=narrow(study, size)) for study, own, size in sized]
        place = {"rung": self.rung, "until": until}
        return [(study, block._replace(**place)) for study in narrowed for block in blocks_of(study, seeds)]

    def outcomes(self, study: Study, block: Block) -> list[Outcome] | None:
        return self.store.outcomes(study, block)

    def begin(self, study: Study, block: Block, start: Callable[[Study, Block], Running] = start_block) -> Running:
        running = self.store.begin(study, block, self._go_on if block.rung else start)
        self._note(block, running)
        return running

    def _go_on(self, study: Study, block: Block) -> Running:
        return select_lanes(self._before, study, block)

    def save(self, study: Study, block: Block, running: Running, last: bool = False) -> None:
        self._note(block, running)
        self.store.save(study, block, running, last)

    def _note(self, block: Block, running: Running) -> None:
        with self._lock:
            self._now[block] = running

    def finish(self, study: Study, block: Block, outcomes: list[Outcome]) -> None:
        """Keep the states too, which the next rung may need again after an interruption."""
        self.store.save(study, block, self._now[block], last=True)
        with self._lock:
            self._ended.append((study, block, outcomes))

    def end(self) -> None:
        """Keep what became of the lanes and no state, the last rung first: it needs those of the rungs before it."""
        for each in sorted(self._ended, key=lambda each: -each[1].rung):
            self.store.finish(*each)


def select_lanes(before: dict[Block, Running], study: Study, block: Block) -> Running:
    """The states of the lanes of a block, taken from the blocks in which they were."""
    wanted = {*block.configurations}
    before = {other: running for other, running in before.items() if wanted & {*other.configurations}}
    place = {lane: i for i, lane in enumerate(lane for other in before for lane in other.lanes)}
    places = np.array([place[lane] for lane in block.lanes]).reshape(len(block.seeds), len(block.configurations))
    missing = study.way.groups - len(block.seeds), study.way.width - len(block.configurations)
    filled = np.pad(places, ((0, missing[0]), (0, missing[1])), mode="edge")
    real = [(len(other.seeds), len(other.configurations)) for other in before]
    states = _select(tuple(running.states for running in before.values()), filled, tuple(real))
    stop = np.array(states.stop)
    stop[len(block.seeds) :], stop[:, len(block.configurations) :] = FILLER, FILLER
    length = max(next(iter(running.rows.values())).shape[2] for running in before.values())
    rows = {
        name: np.concatenate(
            [_flat(_pad(running.rows[name], length), r) for running, r in zip(before.values(), real, strict=True)]
        )
        for name in states.history
    }
    return Running(states._replace(stop=jnp.asarray(stop)), {name: x[filled] for name, x in rows.items()})


@functools.partial(jax.jit, static_argnums=2)
def _select(states: tuple[Any, ...], places: Any, real: tuple[tuple[int, int], ...]) -> Any:
    def select(*leaves: Any) -> Any:
        return jnp.concatenate([_flat(x, r) for x, r in zip(leaves, real, strict=True)])[places]

    return jax.tree.map(select, *states)


def _flat(leaf: Any, real: tuple[int, int]) -> Any:
    """The lanes of a block one after the other, without those that fill it up, (n, ...)."""
    return leaf[: real[0], : real[1]].reshape(real[0] * real[1], *leaf.shape[2:])


def _pad(rows: np.ndarray, length: int) -> np.ndarray:
    """The rows of a history with nothing behind, up to this length."""
    nothing = np.nan if np.issubdtype(rows.dtype, np.inexact) else 0
    return np.pad(
        rows,
        [(0, length - rows.shape[2]) if axis == 2 else (0, 0) for axis in range(rows.ndim)],
        constant_values=nothing,
    )


def check_rungs(rungs: Sequence[int], evaluations: int) -> list[int]:
    """The rungs, the last of them a whole run.

    Raises: ValueError unless they are whole numbers that increase from at least 1 to at most this number.
    """
    found = [*rungs] if [*rungs][-1:] == [evaluations] else [*rungs, evaluations]
    if any(not isinstance(rung, (int, np.integer)) for rung in found) or any(
        not a < b for a, b in zip([0, *found], found, strict=False)
    ):
        raise ValueError(
            f"sweep: rungs must be whole numbers that increase from 1 to at most {evaluations}, the evaluations of a run, "
            f"got {[*rungs]}"
        )
    return [int(rung) for rung in found]
