"""Runs on one device and on eight virtual ones: what test_placed_runs.py starts, with the names of the parts to run.

It prints what each part has found, as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from placed_cases import BATCH, KINDS, LAYOUTS, NESTED, OTHERS, STEPS, TEN, case_of, network, on, rows, start
from placed_faults import FAULTS, REDUCTIONS, reduced_by_hand

import gdjax as gd
from gdjax import laws, models
from gdjax.calls import data_of
from gdjax.laws import placement as law

DEVICES = 8


def distance(a: Any, b: Any) -> float:
    """max |a - b| / max |b|, of the leaf in which it is largest."""

    def one(x: Any, y: Any) -> float:
        x, y = (np.asarray(z, np.float64) for z in (x, y))
        return float(np.max(np.abs(x - y), initial=0) / (np.max(np.abs(y), initial=0) or 1))

    distances = jax.tree.leaves(jax.tree.map(one, a, b))
    return max(distances) if np.isfinite(distances).all() else 1e300


def shown(result: Any) -> Any:
    """What must be that of one device: parameters, those to evaluate, the state of the model, the mean loss."""
    state, metrics = result
    return state.params, gd.training.evaluation_params(state), state.model_state, metrics


def counters(result: Any) -> list[Any]:
    leaves = [np.asarray(data_of(x)) for x in jax.tree.leaves(result[0])]
    return [x.tolist() for x in leaves if x.dtype.kind in "iub"]


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(data_of(x)).tobytes() for x in jax.tree.leaves(tree)]


def nudged(state: gd.TrainState) -> gd.TrainState:
    """The state with every parameter changed by one unit in the last place, up or down."""

    def one(x: Any) -> Any:
        up = np.random.default_rng(x.size).random(x.shape) < 0.5
        return jnp.nextafter(x, np.where(up, np.inf, -np.inf).astype(x.dtype))

    return state._replace(params=jax.tree.map(one, state.params))


class Runs:
    """Cases on one device, and what one unit in the last place does there, as a measure for every other way."""

    def __init__(self, names: Sequence[str]):
        self.data, self.states = rows(), {name: case_of(name).state() for name in names}
        program = self._program(names)
        self.one = program(self.states, self.data)
        other = program({name: nudged(state) for name, state in self.states.items()}, self.data)
        self.unit = {name: distance(shown(other[name]), shown(self.one[name])) for name in names}

    def _program(self, names: Sequence[str], placement: Any = None) -> Callable[..., Any]:
        """(states, data) -> the last states and the metrics, of several cases in one compiled program."""
        epochs = {name: case_of(name).epoch(placement) for name in names}
        return jax.jit(lambda states, data: {name: epochs[name](states[name], data) for name in epochs})

    def distance(self, name: str, result: Any) -> float:
        return distance(shown(result), shown(self.one[name]))

    def placed(self, names: Sequence[str], placement: gd.Placement) -> tuple[Any, Any]:
        """Their states and the data, where the placement says."""
        states = {name: placement.put(self.states[name], self.states[name].params) for name in names}
        return states, placement.put_rows(self.data)

    def on(self, names: Sequence[str], placement: gd.Placement) -> dict[str, Any]:
        """How far from one device they are, whether counters are equal, and a second run to the last bit."""
        program, given = self._program(names, placement), self.placed(names, placement)
        many, again = program(*given), program(*given)
        return {
            name: {
                "distance": self.distance(name, many[name]),
                "counters": counters(many[name]) == counters(self.one[name]),
                "again": bits(many[name]) == bits(again[name]),
            }
            for name in names
        }

    def with_faults(self, placement: gd.Placement, names: Sequence[str]) -> dict[str, float]:
        """How far from one device each seeded fault leads; the first reduction is the right one."""
        states, data = self.placed(["sgd", *OTHERS], placement)
        epochs = {name: case_of(name).epoch(placement) for name in states}

        @jax.jit
        def by_hand(which: Any, state: Any, data: Any) -> Any:
            with reduced_by_hand(which):
                return epochs["sgd"](state, data)

        @jax.jit
        def seeded(states: Any, data: Any) -> Any:
            results = {}
            for name in names:
                fault = FAULTS[name]
                with fault.seeded():
                    results[name] = epochs[fault.case](states[fault.case], data)
            return results

        found = {
            name: self.distance("sgd", by_hand(np.int32(which), states["sgd"], data))
            for which, name in enumerate(REDUCTIONS)
        }
        return found | {name: self.distance(FAULTS[name].case, x) for name, x in seeded(states, data).items()}


def compare(layouts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Cases by layout, and what one unit in the last place does to each."""
    runs = Runs([*{name: None for names in layouts.values() for name in names}])
    found = {layout: runs.on(names, LAYOUTS[layout](jax.devices()[:DEVICES])) for layout, names in layouts.items()}
    return {"unit": runs.unit, "layouts": found}


def kinds_of_state() -> dict[str, Any]:
    """One optimizer for every kind of state and of norm, and each wrapper, of split parameters; some otherwise."""
    return compare({"fsdp": [*KINDS, *NESTED], "tensor": ["muon"]})


def everywhere(names: str) -> dict[str, Any]:
    """These cases, separated by commas, by every layout."""
    return compare(dict.fromkeys(LAYOUTS, names.split(",")))


def silent_faults(names: str) -> dict[str, Any]:
    """Rows, microbatches, statistics, noise and norms over devices, and the same with faults; devices in another order."""
    line, back = (LAYOUTS["data"](jax.devices()[:DEVICES][::way]) for way in (1, -1))
    runs = Runs(["sgd", *OTHERS])
    right = runs.on(["sgd", *OTHERS], line)
    return {"right": right, "other devices": runs.on(["sgd"], back), "wrong": runs.with_faults(line, names.split(","))}


def checked() -> dict[str, Any]:
    """What `laws.check_placement` says of a run, and which laws break if what has run on many devices is changed."""
    placement = LAYOUTS["fsdp"](jax.devices()[:DEVICES])
    given = network, start(), gd.adam(0.01), rows(), placement
    train, noise = law.Trial.train, iter(np.arange(1, 9) * 1e-12)
    changes = {
        "one device": lambda state: state._replace(params=jax.tree.map(lambda x: x + 1e-8, state.params)),
        "again": lambda state: state._replace(params=jax.tree.map(partial(jnp.add, next(noise)), state.params)),
        "stays": lambda state: placement.put(state),
    }
    found = {"right": str(laws.check_placement(*given, batch_size=BATCH))}
    for name, change in changes.items():

        def changed(self: Any, where: Any, params: Any, change: Any = change) -> Any:
            state, metrics = train(self, where, params)
            return (state if where is None else change(state)), metrics

        with mock.patch.object(law.Trial, "train", changed):
            found[name] = [*laws.check_placement(*given, batch_size=BATCH, all=True).broken]
    return found


def dealt_differently() -> float:
    """The distance between full batches whose rows are the same, each device with those of another."""
    case, placement = TEN["sgd"], LAYOUTS["data"](jax.devices()[:DEVICES])
    x = jax.tree.map(lambda x: x[:40], rows())
    others = jax.tree.map(lambda x: np.roll(x.reshape(DEVICES, 5, -1)[::-1], 3, axis=0).reshape(x.shape), x)
    state = case.state()
    state, program = placement.put(state, state.params), jax.jit(case.epoch(placement, batch_size=40))
    return distance(*(shown(program(state, placement.put_rows(data))) for data in (x, others)))


def log_rows(w: Any, log: Any, batch: Any, key: Any, mask: Any) -> Any:
    """A loss with a state, which writes down the rows of every step: (steps so far, their numbers, -1 where masked)."""
    step, numbers = log
    x, y, number = batch
    losses = jnp.sum((x @ w - y) ** 2, 1) * mask
    weight = jnp.sum(mask.astype(losses.dtype))
    written = numbers.at[step].set(jnp.where(mask, number, -1).astype(numbers.dtype))
    return jnp.sum(losses) / weight, {"weight": weight}, (step + 1, written)


def begin_logged(placement: gd.Placement | None) -> tuple[Any, gd.RunState, Any]:
    """(run, its first state, data) of a shuffled run that writes down its rows."""
    x, y = rows()
    data = x, y, np.arange(len(x))
    epoch = gd.make_epoch(gd.make_step(gd.stateful(log_rows)), BATCH, placement=placement)
    run, log = gd.make_run(epoch), (np.int32(0), np.full((STEPS, BATCH), -2, np.int32))
    state = gd.make_state(np.zeros((6, 3)), gd.adam(0.01), 0, log, placement=placement)
    return run, gd.start_run(run, state, gd.stopping.never(), data, None), data


def advance(begun: tuple[Any, gd.RunState, Any], batches: int) -> gd.RunState:
    """The state after so many batches, a multiple of 10, also within an epoch."""
    run, run_state, data = begun
    loop = gd.segments(run, run_state, data, until=STEPS, batches=10, seconds=0)
    return next(state for state in loop if int(state.state.batches) == batches)


def rows_of_steps() -> dict[str, Any]:
    """The rows of 40 steps on 1, 2, 4 and 8 devices, and on 8, 4, 2 and 1 in turn, from checkpoint to checkpoint."""
    kinds = {2: {}, 4: {"rows": "sharded"}, 8: {"params": "fsdp"}}
    placements = {number: on({"data": number}, jax.devices()[:number], **kind) for number, kind in kinds.items()}
    starts = {number: begin_logged(placements.get(number)) for number in (1, 2, 4, 8)}
    ends = {str(number): advance(begun, 40) for number, begun in starts.items()}
    with tempfile.TemporaryDirectory() as folder:
        state = None
        for batches, number in ((10, 8), (20, 4), (30, 2), (40, 1)):
            run, start, data = starts[number]
            state = start if state is None else gd.load_run(Path(folder) / "run", start)
            state = advance((run, state, data), batches)
            gd.save_run(Path(folder) / "run", state)
    ends["8, 4, 2, 1"] = state
    return {
        name: {
            "rows": np.asarray(end.state.model_state[1])[:40].tolist(),
            "distance": distance((end.state.params, end.history), (ends["1"].state.params, ends["1"].history)),
        }
        for name, end in ends.items()
    }


def in_the_loop(compiled: Any) -> list[tuple[str, int]]:
    """(kind, bytes) of what the devices exchange in each step of a compiled epoch."""
    return [(each.kind, each.bytes) for each in gd.training.find_collectives(compiled) if each.loops]


def compiled_programs() -> dict[str, Any]:
    """What data parallel exchanges, and what FSDP holds of ten million parameters, in programs compiled as users do."""
    jax.config.update("jax_disable_most_optimizations", False)
    devices = jax.devices()[:DEVICES]
    placement, case = LAYOUTS["data"](devices), TEN["adam"]
    state = case.state()
    placed = placement.put(state, state.params), placement.put_rows(rows())
    program = jax.jit(case.epoch(placement)).lower(*placed).compile()
    found = {"exchanged": in_the_loop(program), "gradients": sum(x.nbytes for x in jax.tree.leaves(state.params))}

    placement, model = LAYOUTS["fsdp"](devices), models.mlp((1024, 2304, 2304, 1024))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = placement.init(lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, np.float32), shapes))
    state = gd.make_state(params, gd.adam(0.01), placement=placement)
    x = jax.ShapeDtypeStruct((64, 1024), np.float32, sharding=placement.put_rows(np.zeros(DEVICES)).sharding)
    loss = gd.per_example(gd.supervised(model, gd.squared_error))
    epoch = gd.make_epoch(gd.make_step(loss), 64, placement=placement)
    compiled = jax.jit(epoch, donate_argnums=0).lower(state, (x, x)).compile()
    memory = compiled.memory_analysis()
    leaves = jax.tree.leaves(state)
    found["fsdp"] = {
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "bytes": sum(x.nbytes for x in leaves),
        "of one device": sum(x.addressable_shards[0].data.nbytes for x in leaves),
        "arguments": memory.argument_size_in_bytes - 2 * 64 * 1024 * 4,
        "results": memory.output_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "exchanged": [(each.kind, each.bytes) for each in gd.training.find_collectives(compiled)],
    }
    return found


PARTS: Mapping[str, Callable[..., Any]] = {
    "kinds": kinds_of_state,
    "everywhere": everywhere,
    "faults": silent_faults,
    "checked": checked,
    "dealt": dealt_differently,
    "rows": rows_of_steps,
    "compiled": compiled_programs,
}


def main(names: list[str]) -> None:
    jax.config.update("jax_enable_x64", True)
    found = {}
    for name in names:
        began = time.process_time()
        part, *given = name.split("=")
        found[part] = PARTS[part](*given)
        print(name, time.process_time() - began, file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
