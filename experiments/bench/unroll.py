"""What would be saved by a loop over steps that asks whether to go on only once in k steps?

    python -m experiments.bench.unroll [--json FILE] [--repeats 15] [--k 4 8] [--cut 37]

The loop of a run asks before each step whether it is the last: its length is a traced number, and a loss that is not finite
ends it. On a CPU this is a comparison; on a GPU the host waits for the answer, at each step. Here are the digits with the
network 64-128-128-10 at batch 64, and a network so small that the loop is all that it costs, in four ways:

    asking      the loop of gdjax
    blocks      k steps without asking, and those left over one by one: a loss that is not finite is seen late
    masked      k steps, each of which keeps the old state where the loop would have ended
    scan        a loop of known length, which is never asked: the least that any of them can cost

and whether their results stay the same to the last bit when the run is cut into two segments at some batch, which nothing in
gdjax may ever show: a step of the program of k is compiled otherwise than the one of one, or than its neighbor. A way that
fails there is none, however fast it is.

Expected on a CPU: the bits are others, and nothing is saved. `make_epoch` has no argument `unroll` for this reason, which is
k = 1 on every device; on a GPU, where a step asked cost 85 us against 38 of a scan, run this before there is one. A minute
or two on 2 cores.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import tree
from gdjax.training.epoch import Epoch, Loop, Walked
from gdjax.types import Sums, TrainState

from .recording import arguments, write
from .step_cost import BATCH, digits, loss_fn, model
from .timing import measure, ratio

STEPS, RATE = 690, 1e-3
Carry = tuple[TrainState, Sums, Walked]


@dataclasses.dataclass(frozen=True)
class Unrolled(Epoch):
    """An epoch whose loop takes k steps at a time, in one of two ways."""

    way: str = "blocks"
    k: int = 4

    def loop(self, state: TrainState, data: Any) -> Loop:
        loop = super().loop(state, data)
        fields = {field.name: getattr(loop, field.name) for field in dataclasses.fields(loop)}
        return {"blocks": Blocks, "masked": Masked}[self.way](**fields, k=self.k)


@dataclasses.dataclass(frozen=True)
class Blocks(Loop):
    """The steps of a loop, k at a time; see above."""

    k: int = 1

    def __call__(self, state: TrainState, sums: Sums, steps: Any, finite_only: Any = False) -> Carry:
        one = super().__call__

        def take(carry: Carry) -> Carry:
            state, sums, done = carry
            for _ in range(self.k):
                state, metrics = self.step(state, self.rows(state, state.batches))
                sums = self.summation.add(sums, metrics, None)
            return state, sums, done + self.k

        several = functools.partial(jax.lax.while_loop, lambda carry: carry[2] + self.k <= steps, take)
        state, sums, done = several((state, sums, jnp.int32(0)))
        state, sums, walked = one(state, sums, steps - done, finite_only)
        return state, sums, walked._replace(steps=walked.steps + done)


@dataclasses.dataclass(frozen=True)
class Masked(Loop):
    """k steps at a time, each in the place that its number gives it, wherever the run is cut."""

    k: int = 1

    def __call__(self, state: TrainState, sums: Sums, steps: Any, finite_only: Any = False) -> Carry:
        last = state.batches + steps

        def going(carry: Carry) -> jax.Array:
            return (carry[0].batches < last) & (carry[2].finite | ~jnp.bool_(finite_only))

        def take(carry: Carry) -> Carry:
            for place in range(self.k):
                state, sums, walked = carry
                new, metrics = self.step(state, self.rows(state, state.batches))
                finite = walked._replace(steps=walked.steps + 1, finite=jnp.isfinite(metrics["loss"]))
                taken = new, self.summation.add(sums, metrics, None), finite
                carry = tree.select(going(carry) & (state.batches % self.k == place), taken, carry)
            return carry

        loss = self.summation.metrics["loss"]
        start = Walked(jnp.int32(0), jnp.full(loss.shape, jnp.nan, loss.dtype), jnp.bool_(True), sums.rates)
        return jax.lax.while_loop(going, take, (state, sums, start))


def small() -> tuple[Any, Any, Any]:
    """A loss, parameters and rows whose step costs less than its loop."""
    rows = jax.random.normal(jax.random.key(0), (1437, 4))
    return gd.make_step(lambda w, rows: jnp.mean((rows @ w - 1) ** 2)), jnp.ones(4), rows


def ways(step: Any, ks: list[int]) -> dict[str, Epoch]:
    """The epochs to compare, by name."""
    epoch = gd.make_epoch(step, BATCH)
    fields = {field.name: getattr(epoch, field.name) for field in dataclasses.fields(epoch)}
    several = {f"{way}, k={k}": Unrolled(**fields, way=way, k=k) for way in ("blocks", "masked") for k in ks}
    return {"asking": epoch, **several}


def same_bits(program: Any, state: TrainState, rows: Any, cut: int) -> bool:
    """Whether a run in two segments is the run at once."""
    at_once = program(state, rows, np.int32(STEPS))[0]
    first = program(state, rows, np.int32(cut))[0]
    in_two = program(first, rows, np.int32(STEPS - cut))[0]
    pairs = zip(jax.tree.leaves(at_once.params), jax.tree.leaves(in_two.params), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def compare(name: str, step: Any, params: Any, rows: Any, options: Any) -> dict[str, Any]:
    """Time all ways on one problem, and print them."""
    state = gd.make_state(params, gd.adam(RATE))
    programs = {each: jax.jit(epoch) for each, epoch in ways(step, options.k).items()}
    calls = {each: functools.partial(program, state, rows, np.int32(STEPS)) for each, program in programs.items()}
    scan = jax.jit(dataclasses.replace(gd.make_epoch(step, BATCH), steps=STEPS))
    timings = measure({**calls, "scan": functools.partial(scan, state, rows)}, options.repeats)
    figures = {}
    head = f"{'':<16}{'first s':>8}{'us a step':>10}{'of CPU':>10}   CPU / asking (quartiles)  same bits cut"
    print(f"\n{name}, {STEPS} steps\n\n{head}")
    for each, timing in timings.items():
        median, low, high = ratio(timing.cpu, timings["asking"].cpu)
        wall, cpu = (float(np.median(values)) / STEPS * 1e6 for values in (timing.wall, timing.cpu))
        same = same_bits(programs[each], state, rows, options.cut) if each in programs else None
        figures[each] = {"wall us": wall, "cpu us": cpu, "ratio": median, "first": timing.first, "same bits": same}
        said = "" if same is None else ("yes" if same else "NO")
        print(
            f"  {each:<14}{timing.first:>8.1f}{wall:>10.1f}{cpu:>10.1f}   {median:.2f} ({low:.2f} to {high:.2f})  {said:>12}"
        )
    return figures


def main() -> None:
    parser = arguments(__doc__, repeats=15)
    parser.add_argument("--k", type=int, nargs="+", default=[4, 8], help="steps between two questions")
    parser.add_argument("--cut", type=int, default=37, help="the batch where the run is cut")
    options = parser.parse_args()
    network = gd.make_step(loss_fn), model.init(jax.random.key(1)), digits()[0]
    figures = {
        "64x128x128x10": compare("64x128x128x10 on the digits", *network, options),
        "small": compare("four numbers", *small(), options),
    }
    write(options.json, figures)


if __name__ == "__main__":
    main()
