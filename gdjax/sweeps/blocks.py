"""A block: lanes that run together, driven by the host in compiled segments from their start to the last stop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax import tree
from gdjax.sweeps.study import Study
from gdjax.training.run import RING
from gdjax.types import RunState, Stop

SECONDS = 1.0  # of a segment, after which the host hears of it; no result depends on it


class Block(NamedTuple):
    """Each of these configurations of a study for each of these seeds."""

    configurations: tuple[int, ...]
    seeds: tuple[int, ...]
    rung: int = 0  # of a successive halving
    until: int | None = None  # evaluations to which it runs, None for a whole run

    @property
    def name(self) -> str:
        """Of its folder and in messages."""
        rung = f"rung{self.rung}_" if self.rung else ""
        return f"{rung}{self.configurations[0]}-{self.configurations[-1]}_{self.seeds[0]}-{self.seeds[-1]}"

    @property
    def lanes(self) -> list[tuple[int, int]]:
        """(configuration, seed) of each, in the order of their states."""
        return [(i, seed) for seed in self.seeds for i in self.configurations]


def blocks_of(study: Study, seeds: Sequence[int]) -> list[Block]:
    """All lanes of a study in blocks, seeds last."""
    numbers, way = study.settings.number.tolist(), study.way
    parts = [tuple(seeds[i : i + way.groups]) for i in range(0, len(seeds), way.groups)]
    return [Block(tuple(numbers[i : i + way.width]), part) for part in parts for i in range(0, len(numbers), way.width)]


class Outcome(NamedTuple):
    """What became of one run."""

    configuration: int
    seed: int
    stop: str
    best_value: float  # of the monitored metric, in its own sign
    best_evaluation: int
    epochs: float
    steps: int
    history: dict[str, np.ndarray]  # name -> (evaluations,)
    params: Any = None  # those of the best evaluation, where they were asked for
    model_state: Any = None  # that of the same evaluation, likewise


class Running(NamedTuple):
    """A block between two segments."""

    states: RunState  # leaves (g, w, ...)
    rows: dict[str, np.ndarray]  # the history of its lanes, name -> (g, w, evaluations), NaN after a lane has stopped

    @property
    def alive(self) -> np.ndarray:
        """(g, w) bool, the lanes that no condition has stopped."""
        return np.asarray(self.states.stop) == Stop.RUNNING

    @property
    def done(self) -> int:
        """Evaluations of the lanes that are running, or of all if none is."""
        done = np.asarray(self.states.evaluations)
        return int(np.max(done, where=self.alive, initial=0)) if self.alive.any() else int(np.max(done))


def start_block(study: Study, block: Block) -> Running:
    """The block before its first step."""
    states = study.start(block.configurations, block.seeds)
    return Running(states, {name: np.asarray(x)[:, :, :0] for name, x in states.history.items()})


def pack(running: Running) -> RunState:
    """The states with the whole history, as a checkpoint holds them."""
    return running.states._replace(history=running.rows)


def unpack(states: RunState) -> Running:
    """A block from its checkpoint: the history on the device is a ring again, of rows that the host has."""
    rows = {name: np.asarray(x) for name, x in states.history.items()}
    rings = {name: np.zeros((*x.shape[:2], RING, *x.shape[3:]), x.dtype) for name, x in rows.items()}
    return Running(states._replace(history=rings), rows)


def run_block(study: Study, block: Block, running: Running) -> Iterator[Running]:
    """Run a block to its end; the block after each segment."""
    numbers, program, units, end = study.numbers(block.configurations, block.seeds), study.program, 1, 0
    for count, steps in study.pieces:
        end += count
        limit = end if block.until is None else min(end, block.until)
        while running.alive.any() and running.done < limit:
            before = time.perf_counter()
            goal = min(running.done + min(units, RING), limit)
            states = program(running.states, numbers, goal, steps)
            running = Running(states, extend(running, states))
            units = max(1, min(2 * units, int(units * SECONDS / max(time.perf_counter() - before, 1e-9))))
            yield running


def extend(before: Running, states: RunState) -> dict[str, np.ndarray]:
    """The history with the rows since the last segment, at most as many as the ring holds."""
    evaluations = np.asarray(states.evaluations)
    new = np.arange(next(iter(before.rows.values())).shape[2], evaluations.max())
    reached = new < evaluations[..., None]

    def extend(rows: np.ndarray, ring: Any) -> np.ndarray:
        taken = np.asarray(ring)[:, :, new % RING]
        nothing = np.asarray(np.nan if np.issubdtype(taken.dtype, np.inexact) else 0, taken.dtype)
        there = reached.reshape(*reached.shape, *(1,) * (taken.ndim - 3))
        return np.concatenate([rows, np.where(there, taken, nothing)], axis=2)

    return {name: extend(before.rows[name], ring) for name, ring in states.history.items()}


def outcomes_of(study: Study, block: Block, running: Running) -> list[Outcome]:
    """What became of the lanes of a block, in its order."""
    states = jax.device_get(running.states._replace(history={}, state=running.states.state._replace(key=None)))
    evaluations, stops, steps = states.evaluations.tolist(), states.stop.tolist(), states.state.step.tolist()
    values, places = states.best_value.tolist(), states.best_evaluation.tolist()

    def outcome(g: int, w: int) -> Outcome:
        done, stop = evaluations[g][w], Stop(stops[g][w])
        history = {name: rows[g, w, :done] for name, rows in running.rows.items()}
        kept = tree.whole(jax.tree.map(lambda x: x[g, w], states.best)) if study.keep_params else (None, None)
        return Outcome(
            block.configurations[w],
            block.seeds[g],
            stop=Stop.BUDGET.name if stop == Stop.RUNNING else stop.name,
            best_value=sign * values[g][w],
            best_evaluation=places[g][w],
            epochs=float(history["epoch"][-1]) if done else 0.0,
            steps=steps[g][w],
            history=history,
            params=kept[0],
            model_state=kept[1],
        )

    sign = study.sign
    return [outcome(g, w) for g in range(len(block.seeds)) for w in range(len(block.configurations))]
