"""Do programs written in Optax's grammar run with gdjax's names? `python -m experiments.bench.drop_in`.

Twenty programs in the forms of Optax's README, documentation and gallery, each a function of the module named `optax` and
of one number, which returns a transformation. Each trains the same small network on the same rows twice, once with Optax
and once with `gdjax` in its place, for 200 steps in float64 and in float32; the distance is that of the final parameters,
relative to their norm. Then each runs in gdjax with another number, and compilations are counted by `jax.monitoring`.

Optax divides the counts of its schedules in float32, whatever the parameters' dtype; in float64 it is given float64 counts.

Expected: distances of at most 1e-10 (float64) and 1e-4 (float32), and no compilation for the second number. If Optax in
float32 is further than that from itself in float64, this distance is the bound, and is printed. About two minutes on 2
cores.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax as original

import gdjax

STEPS, ROWS, DECAY = 200, 256, 0.4
LIMITS = {"float64": 1e-10, "float32": 1e-4}

# The programs. `optax` is an argument, so that the text is what stands in a program that imports it.


def adam(optax, rate=1e-2):
    """README, "Fast optimization": one alias."""
    return optax.adam(learning_rate=rate)


def clip_by_norm(optax, rate=1e-2):
    """Documentation, "Gradient transformations": clipping by the global norm before an alias."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def custom(optax, rate=1e-2):
    """Documentation, "Getting started", "Custom optimizers": parts chained by hand, the schedule among them."""
    schedule = optax.exponential_decay(init_value=rate, transition_steps=100, decay_rate=0.9)
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.scale_by_schedule(schedule), optax.scale(-1.0)
    )


def warm_up(optax, rate=1e-2):
    """Documentation, "Optimizer schedules": warm-up and cosine decay, decay of the kernels only."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0, peak_value=rate, warmup_steps=50, decay_steps=200, end_value=1e-5
    )
    kernels = lambda params: [{"w": True, "b": False} for _ in params]  # noqa: E731
    return optax.adamw(learning_rate=schedule, weight_decay=1e-2, mask=kernels)


def by_layer(optax, rate=1e-2):
    """API of `optax.multi_transform`: an optimizer for each label, one of them for frozen leaves."""
    transforms = {"first": optax.sgd(rate), "rest": optax.adam(rate), "frozen": optax.set_to_zero()}
    labels = lambda params: ["first", {"w": "rest", "b": "frozen"}]  # noqa: E731
    return optax.multi_transform(transforms, labels)


def partition(optax, rate=1e-2):
    """API of `optax.partition`: labels as a prefix of the parameters."""
    return optax.partition({"a": optax.adam(rate), "b": optax.sgd(rate, momentum=0.9)}, ["a", "b"])


def mask_decay(optax, rate=1e-2):
    """API of `optax.masked`: decay added to the gradient of some leaves."""
    kernels = [{"w": True, "b": False}, {"w": True, "b": False}]
    return optax.chain(
        optax.masked(optax.add_decayed_weights(1e-3), kernels), optax.sgd(rate, nesterov=True, momentum=0.9)
    )


def inject(optax, rate=1e-2):
    """Documentation, "Optimizer schedules": `inject_hyperparams`, a schedule and a number."""
    schedule = optax.cosine_decay_schedule(rate, decay_steps=200)
    return optax.inject_hyperparams(optax.adamw)(learning_rate=schedule, weight_decay=1e-3)


def accumulate(optax, rate=1e-2):
    """Documentation, "Gradient accumulation": `MultiSteps`."""
    return optax.MultiSteps(optax.adam(rate), every_k_schedule=4).gradient_transformation()


def slow_weights(optax, rate=1e-2):
    """Gallery, "Lookahead optimizer on MNIST"."""
    return optax.lookahead(optax.sgd(rate), sync_period=5, slow_step_size=0.5)


def skip_errors(optax, rate=1e-2):
    """API of `optax.apply_if_finite`, and of `zero_nans` in a chain."""
    return optax.apply_if_finite(optax.chain(optax.zero_nans(), optax.adam(rate)), max_consecutive_errors=5)


def join(optax, rate=1e-2):
    """API of `optax.join_schedules`: a ramp, then a polynomial."""
    ramp = optax.linear_schedule(init_value=0.0, end_value=rate, transition_steps=20)
    fall = optax.polynomial_schedule(init_value=rate, end_value=1e-4, power=2, transition_steps=150)
    return optax.sgd(optax.join_schedules([ramp, fall], boundaries=[20]), momentum=0.9)


def noisy(optax, rate=1e-2):
    """API of `optax.add_noise` and `optax.trace`: parts of `noisy_sgd`, chained by hand."""
    return optax.chain(
        optax.add_noise(eta=0.01, gamma=0.55, seed=0), optax.trace(decay=0.9), optax.scale_by_learning_rate(rate)
    )


def by_unit(optax, rate=1e-2):
    """API of `optax.adaptive_grad_clip`: a network without normalization (NFNet)."""
    return optax.chain(optax.adaptive_grad_clip(0.01), optax.sgd(rate, momentum=0.9, nesterov=True))


def scale_by_trust(optax, rate=1e-2):
    """API of `optax.lamb`: its parts, chained by hand."""
    return optax.chain(
        optax.scale_by_adam(eps=1e-6),
        optax.add_decayed_weights(1e-2),
        optax.scale_by_trust_ratio(),
        optax.scale_by_learning_rate(rate),
    )


def plateau(optax, rate=1e-2):
    """Gallery, "Reduce on Plateau Learning Rate Scheduler": the transform behind an alias, fed with `value=`."""
    contrib = getattr(optax, "contrib", optax)
    return optax.chain(
        optax.adam(rate), contrib.reduce_on_plateau(factor=0.5, patience=5, rtol=1e-4, cooldown=3, accumulation_size=4)
    )


def quasi_newton(optax, rate=1e-2):
    """Gallery, "L-BFGS", with a fixed rate in place of a search, so that 200 steps do not all end at one point."""
    return optax.lbfgs(learning_rate=rate, memory_size=5, linesearch=None)


def backtrack(optax, rate=0.8):
    """Gallery, "Linesearch": descent with backtracking."""
    return optax.chain(
        optax.sgd(learning_rate=1.0),
        optax.scale_by_backtracking_linesearch(max_backtracking_steps=15, decrease_factor=rate),
    )


def sharpness(optax, rate=1e-2):
    """Gallery, "Sharpness aware minimization (SAM)": two optimizers and a period."""
    contrib = getattr(optax, "contrib", optax)
    adversary = optax.chain(contrib.normalize(), optax.sgd(0.05))
    return contrib.sam(optax.sgd(rate), adversary, sync_period=2)


def schedule_free(optax, rate=1e-1):
    """API of `optax.contrib.schedule_free_adamw`, behind a named chain."""
    contrib = getattr(optax, "contrib", optax)
    return optax.named_chain(
        ("clip", optax.clip(0.5)), ("descend", contrib.schedule_free_adamw(rate, warmup_steps=10, b1=0.9))
    )


PROGRAMS: dict[str, Callable[..., Any]] = {
    program.__name__: program
    for program in (
        adam, clip_by_norm, custom, warm_up, by_layer, partition, mask_decay, inject, accumulate, slow_weights,
        skip_errors, join, noisy, by_unit, scale_by_trust, plateau, quasi_newton, backtrack, sharpness, schedule_free,
    )
}  # fmt: skip


# The problem: rows made by a network of the same sizes, the start another such network, and enough weight decay that no
# direction curves down: there Optax's L-BFGS keeps what ours leaves out, and rounding grows from step to step.


def problem(dtype: str) -> tuple[Any, tuple[jax.Array, jax.Array]]:
    """Parameters and rows."""
    draw, sizes = np.random.default_rng(0).normal, (5, 7, 1)
    teacher = [{"w": draw(size=(m, n)) / np.sqrt(m), "b": 0.1 * draw(size=n)} for m, n in itertools.pairwise(sizes)]
    x = draw(size=(ROWS, sizes[0]))
    y = np.tanh(x @ teacher[0]["w"] + teacher[0]["b"]) @ teacher[1]["w"] + teacher[1]["b"]
    params = jax.tree.map(lambda leaf: leaf + draw(size=leaf.shape), teacher)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (params, (x, y)))


def loss(params: Any, rows: tuple[jax.Array, jax.Array]) -> jax.Array:
    (first, second), (x, y) = params, rows
    error = jnp.tanh(x @ first["w"] + first["b"]) @ second["w"] + second["b"] - y
    return jnp.mean(error**2) + DECAY * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


# The extra arguments that a program asks for.
TAKEN = {
    "backtrack": ("value", "grad", "value_fn"),
    "plateau": ("value",),
}


def steps(optimizer: Any, params: Any, rows: Any, taken: tuple[str, ...]) -> Any:
    """The parameters after all steps, a loop in Optax's words; a pair of fast and slow ones is trained by its fast."""

    def value_fn(params: Any) -> jax.Array:
        return loss(params, rows)

    def step(_: Any, carry: Any) -> Any:
        params, state = carry
        value, grads = jax.value_and_grad(value_fn)(getattr(params, "fast", params))
        given = {"value": value, "grad": grads, "value_fn": value_fn}
        extra = {name: given[name] for name in taken}
        updates, state = original.with_extra_args_support(optimizer).update(grads, state, params, **extra)
        return original.apply_updates(params, updates), state

    return jax.lax.fori_loop(0, STEPS, step, (params, optimizer.init(params)))[0]


trained = jax.jit(steps, static_argnames="taken")  # gdjax's optimizers are arguments


@contextlib.contextmanager
def counts_in_double() -> Iterator[None]:
    """Optax's schedules are given their counts as float64: alone, they divide them in float32, whatever the rest is."""

    def of_double(factory: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            schedule = factory(*args, **kwargs)
            return lambda count: schedule(jnp.asarray(count, jnp.float64))

        return make

    home = sys.modules[original.linear_schedule.__module__]
    names = [name for name in vars(home) if name.endswith("_schedule") or name == "exponential_decay"]
    with contextlib.ExitStack() as stack:
        for name in names:
            factory = of_double(getattr(home, name))
            stack.enter_context(mock.patch.object(home, name, factory))
            if hasattr(original, name):
                stack.enter_context(mock.patch.object(original, name, factory))
        yield


def start_of(name: str, params: Any) -> Any:
    return original.LookaheadParams.init_synced(params) if name == "slow_weights" else params


class Row(NamedTuple):
    name: str
    distances: dict[str, float]
    rounding: float  # how far Optax in float32 is from itself in float64
    compiled: int

    @property
    def limits(self) -> dict[str, float]:
        return {**LIMITS, "float32": max(LIMITS["float32"], self.rounding)}

    @property
    def passed(self) -> bool:
        return self.compiled == 0 and all(self.distances[dtype] <= limit for dtype, limit in self.limits.items())


def distance(mine: Any, theirs: Any) -> float:
    """Relative to the norm of theirs; infinite where one is not finite."""
    a, b = (np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(t)]) for t in (mine, theirs))
    found = np.linalg.norm(a - b) / np.linalg.norm(b)
    return float(found) if np.isfinite(found) else np.inf


def both(name: str, dtype: str) -> tuple[Any, Any]:
    """The ends of the two runs."""
    params, rows = problem(dtype)
    start, taken = start_of(name, params), TAKEN.get(name, ())
    mine = trained(PROGRAMS[name](gdjax).canonicalize(), start, rows, taken=taken)
    with counts_in_double() if dtype == "float64" else contextlib.nullcontext():
        theirs = jax.jit(functools.partial(steps, PROGRAMS[name](original), taken=taken))(start, rows)
    return jax.device_get((mine, theirs))


def count_compilations(name: str, dtype: str = "float32") -> int:
    """The programs compiled by a second run, whose number is another."""
    params, rows = problem(dtype)
    start, counts = start_of(name, params), []

    def heard(event: str, duration: float, **_: Any) -> None:
        counts.append(event == "/jax/core/compile/backend_compile_duration")

    first, number = PROGRAMS[name](gdjax), PROGRAMS[name].__defaults__[0]
    second = PROGRAMS[name](gdjax, 0.9 * number)
    run = functools.partial(trained, params=start, rows=rows, taken=TAKEN.get(name, ()))
    before = jax.block_until_ready(run(first.canonicalize(on_host=True)))
    canonical = second.canonicalize(on_host=True)
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        after = jax.block_until_ready(run(canonical))
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert distance(before, after) > 0, f"{name}: the number does nothing"
    return sum(counts)


def row_of(name: str) -> Row:
    ends = {}
    for dtype in LIMITS:
        with jax.enable_x64(dtype == "float64"):
            ends[dtype] = both(name, dtype)
    rounding = distance(ends["float32"][1], ends["float64"][1])
    with jax.enable_x64(False):
        return Row(name, {k: distance(*end) for k, end in ends.items()}, rounding, count_compilations(name))


def main(names: list[str]) -> int:
    warnings.filterwarnings("ignore", message=".*(seed|deprecated).*")
    print(f"{'program':16s} {'float64':>9s} {'float32':>9s} {'compiled by a second number':>28s}")
    rows = []
    for name in names or PROGRAMS:
        row = row_of(name)
        rows.append(row)
        one, other = (row.distances[dtype] for dtype in LIMITS)
        loose = f"  bound {row.rounding:.1e}: Optax's own" if other > LIMITS["float32"] else ""
        verdict = loose if row.passed else "  missed"
        print(f"{name:16s} {one:9.1e} {other:9.1e} {row.compiled:28d}{verdict}", flush=True)
    missed = sum(not row.passed for row in rows)
    bounds = ", ".join(f"{limit:g} ({dtype})" for dtype, limit in LIMITS.items())
    print(f"\n{len(rows)} programs, {missed} missed the bounds {bounds}, nothing compiled")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
