"""Runs of one program that differ in their data, such as those of a cross-validation, each of which lacks a fold."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.programs import compile_once
from gdjax.sweeps.blocks import Running, extend
from gdjax.sweeps.engine import same_context
from gdjax.sweeps.ways import workers
from gdjax.training import Fitting
from gdjax.training.lanes import Lanes
from gdjax.training.run import RING


def run_each(fittings: Sequence[Fitting]) -> None:
    """Run all to their end.

    On a CPU each core takes a run at a time, so that each has the bits of a run alone; an accelerator takes them as lanes,
    or one after the other where their rows are of different shapes.

    Raises: KeyboardInterrupt if it is interrupted.
    """
    shapes = {tuple(x.shape for x in jax.tree.leaves(fitting.data)) for fitting in fittings}
    if jax.default_backend() == "cpu" or len(shapes) > 1:
        run_on_cores(fittings)
    else:
        run_as_lanes(fittings)


def run_on_cores(fittings: Sequence[Fitting]) -> None:
    """Each as it would be alone, as many at a time as there are cores; all in the program that the first has compiled."""
    signals: list[int] = []
    here = same_context()

    def run(fitting: Fitting) -> None:
        with here():
            for _ in fitting.segments(signals=signals):
                pass

    fittings[0].compile()
    with ThreadPoolExecutor(min(len(fittings), workers()), "folds") as pool:
        futures = [pool.submit(run, fitting) for fitting in fittings]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            signals.extend([] if all(future.done() for future in futures) else [1])
    for future in futures:
        future.result()


def run_as_lanes(fittings: Sequence[Fitting]) -> None:
    """All in one program, a lane each, in groups of one."""
    first = fittings[0]
    states = jax.tree.map(lambda *each: jnp.stack(each)[:, None], *(fitting.run_state for fitting in fittings))
    data = jax.tree.map(lambda *each: jnp.stack(each), *(fitting.data for fitting in fittings))
    program = compile_once(Lanes(first.run, own_data=True), donate=(0,))
    running, end = Running(states, {name: np.asarray(x)[:, :, :0] for name, x in states.history.items()}), 0
    for count, steps in first.length.pieces(0, first.per_epoch):
        end += count
        while running.alive.any() and running.done < end:
            until = np.int32(min(end, running.done + RING))
            states = program(running.states, {}, data, first.validation, until, np.int32(steps))
            running = Running(states, extend(running, states))
    for i, fitting in enumerate(fittings):
        alone = jax.tree.map(lambda x: x[i, 0], running.states._replace(history={}))  # noqa: B023
        done = int(alone.evaluations)
        fitting.run_state = alone._replace(history={name: rows[i, 0, :done] for name, rows in running.rows.items()})
