"""Is a gradient right? Differences of the loss along directions, each with an estimate of its own error.

    central(h) = (f(p + h d) - f(p - h d)) / 2h         truncation error of order h², rounding error of order eps |f| / h

The loss is evaluated in float64 whatever the parameters' dtype, along a ladder of steps h; the one at which neighbours agree
best is taken, and their disagreement is its error. So no step has to be guessed, and a loss that rounds inside to float32 is
not accused of it. Where the slopes to both sides stay apart however small the step, the point is a kink and not an error.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.types import Params

STEPS = 10.0 ** -np.arange(1.0, 8.5, 0.5)
SAFETY = 10.0  # times the estimated error of a difference is forgiven
RTOL = 1e-5
RIGHT, WRONG, KINK = "right", "WRONG", "kink"


class Probe(NamedTuple):
    """One directional derivative, by the gradient and by differences."""

    leaf: str  # its path; "all" for a direction through every leaf
    direction: str  # "random", or an entry such as "[3, 0]"
    gradient: float
    difference: float
    error: float  # of the difference, estimated
    relative: float
    ulp: float  # of the parameters' dtype
    verdict: str


class Check(NamedTuple):
    """What was found; `passed` if nothing is wrong. A kink is no error: any slope between those of both sides will do."""

    probes: tuple[Probe, ...]

    @property
    def passed(self) -> bool:
        return all(probe.verdict != WRONG for probe in self.probes)

    @property
    def worst(self) -> Probe:
        return max(self.probes, key=lambda probe: (probe.verdict == WRONG, probe.relative))

    def wrong_leaves(self) -> list[str]:
        """The leaves in which the gradient is wrong, in order."""
        return list(dict.fromkeys(p.leaf for p in self.probes if p.verdict == WRONG and p.leaf != "all"))

    def __str__(self) -> str:
        head = f"{'leaf':<22}{'direction':<14}{'gradient':>15}{'difference':>15}{'relative':>10}{'ULP':>10}  verdict"
        return "\n".join([head, *map(_line, self.probes), self.summary()])

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def summary(self) -> str:
        kinks = sum(probe.verdict == KINK for probe in self.probes)
        also = f", {kinks} at a kink" if kinks else ""
        largest = f"largest relative error {self.worst.relative:.1e}" if self.probes else "nothing to probe"
        if self.passed:
            return f"the gradient is right along {len(self.probes) - kinks} directions{also}; {largest}"
        return f"the gradient is WRONG in {', '.join(self.wrong_leaves()) or 'all leaves together'}{also}; {largest}"


def _line(p: Probe) -> str:
    figures = f"{p.gradient:>15.8g}{p.difference:>15.8g}{p.relative:>10.1e}{p.ulp:>10.2g}"
    return f"{p.leaf:<22}{p.direction:<14}{figures}  {p.verdict}"


def check_gradients(
    loss: Callable[..., Any],
    params: Params,
    *args: Any,
    gradient: Callable[..., Params] | None = None,
    directions: int = 4,
    entries: int = 4,
    rtol: float = RTOL,
    key: jax.Array | int = 0,
) -> Check:
    """Hold the gradient of a loss against differences of its values.

    Args:
        loss: (params, *args) -> () real, or a pair whose first is that (a `LossFn`: args are then batch and key).
        params: any pytree; floating and complex leaves are probed, others left alone.
        gradient: (params, *args) -> a tree like params, as jax.grad gives it; None is jax.grad(loss). Both are evaluated
            at params in float64 (complex128).
        directions: random ones through all leaves; each leaf gets one of its own besides.
        entries: single entries of each leaf, sampled.
        rtol: relative error that is forgiven, beside ten times what the difference itself may be wrong by.
        key: a JAX key or an int seed.

    Raises: ValueError if the loss is not scalar, or not finite at params.
    """
    with jax.enable_x64(True):
        wide = jax.tree.map(_widened, params)
        args = tuple(jax.tree.map(_widened, args))
        f = jax.jit(functools.partial(_value, loss, args))
        check_finite(f(wide))
        grads = gradient(wide, *args) if gradient is not None else _gradient(f, wide)
        tree.check_like("check_gradients", "the gradient", grads, "params", wide)
        values = jax.jit(lambda direction: jax.lax.map(lambda h: f(_along(wide, direction, h)), _offsets()))
        key = jax.random.key(key) if isinstance(key, int) else key
        probes = tuple(
            _probed(leaf, words, dtype, direction, grads, values(direction), rtol)
            for leaf, words, dtype, direction in _directions(params, wide, key, directions, entries)
        )
    return Check(probes)


def difference_quotients(f: Callable, x: Any, steps: Any = None) -> dict[str, np.ndarray]:
    """The derivative of a function of one number from first principles: where truncation ends and rounding begins.

    Args:
        steps: (n,), h > 0; None is 1 to 1e-16.

    Returns: "step", "one-sided" (f(x + h) - f(x)) / h, "central" (f(x + h) - f(x - h)) / 2h, and "derivative", by jax.grad.
        Their errors fall as h and h², until rounding, eps |f| / h, takes over near sqrt(eps) and eps^(1/3).
    """
    x, h = jnp.asarray(x, float), jnp.asarray(10.0 ** -np.arange(0.0, 16.5, 0.5) if steps is None else steps, float)
    each = jax.vmap(f)
    one_sided, central = (each(x + h) - f(x)) / h, (each(x + h) - each(x - h)) / (2 * h)
    slope = jnp.full_like(h, jax.grad(f)(x))
    found = {"step": h, "one-sided": one_sided, "central": central, "derivative": slope}
    return {name: np.asarray(values) for name, values in found.items()}


def _widened(x: Any) -> Any:
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return jnp.asarray(x, jnp.complex128 if jnp.issubdtype(x.dtype, jnp.complexfloating) else jnp.float64)


def _value(loss: Callable, args: tuple, params: Params) -> jax.Array:
    answer = loss(params, *args)
    value = answer[0] if isinstance(answer, tuple) else answer
    if jnp.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise ValueError(
            f"check_gradients: the loss must be one real number, got {jnp.result_type(value)} of shape {jnp.shape(value)}"
        )
    return jnp.asarray(value, jnp.float64)


def check_finite(value: jax.Array) -> None:
    if not jnp.isfinite(value):
        raise ValueError(f"check_gradients: the loss must be finite at params, got {value}")


def _gradient(f: Callable, params: Params) -> Params:
    """jax.grad with respect to the leaves that can move; None for others."""
    leaves, structure = jax.tree.flatten(params)
    moving = [i for i, leaf in enumerate(leaves) if _moves(leaf)]

    def of_moving(chosen):
        return f(structure.unflatten([chosen[moving.index(i)] if i in moving else x for i, x in enumerate(leaves)]))

    grads = jax.grad(of_moving)([leaves[i] for i in moving])
    return structure.unflatten(
        [grads[moving.index(i)] if i in moving else jnp.zeros(jnp.shape(x)) for i, x in enumerate(leaves)]
    )


def _moves(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)) and jnp.size(leaf) > 0


def _offsets() -> jax.Array:
    """0, then both sides of every step."""
    return jnp.concatenate([jnp.zeros(1), STEPS, -STEPS])


def _along(params: Params, direction: Params, h: jax.Array) -> Params:
    return jax.tree.map(lambda p, d: p + h * d if _moves(p) else p, params, direction)


def _directions(
    params: Params, wide: Params, key: jax.Array, number: int, entries: int
) -> Iterator[tuple[str, str, Any, Params]]:
    """(leaf, words, dtype, direction): through all leaves, through each, and along single entries of each."""
    leaves, structure = jax.tree.flatten(wide)
    own = [jnp.result_type(leaf) for leaf in jax.tree.leaves(params)]
    names = [tree.path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(wide)]
    moving = [i for i, leaf in enumerate(leaves) if _moves(leaf)]
    zeros = [jnp.zeros(jnp.shape(leaf), jnp.result_type(leaf, float)) for leaf in leaves]

    def drawn(i: int, key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, i), leaves[i].shape, leaves[i].dtype)

    coarsest = max((own[i] for i in moving), key=lambda dtype: jnp.finfo(dtype).eps, default=jnp.float32)
    for probe in range(number if len(moving) > 1 else 0):
        chosen = jax.random.fold_in(key, probe)
        yield (
            "all",
            "random",
            coarsest,
            structure.unflatten([drawn(i, chosen) if i in moving else z for i, z in enumerate(zeros)]),
        )
    rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    for i in moving:
        alone = drawn(i, jax.random.fold_in(key, number + i))
        yield names[i], "random", own[i], structure.unflatten([alone if j == i else z for j, z in enumerate(zeros)])
        for flat in sorted(rng.choice(leaves[i].size, min(entries, leaves[i].size), replace=False)):
            index = np.unravel_index(flat, leaves[i].shape)
            one = zeros[i].at[index].set(1)
            words = str([int(k) for k in index]) if index else "()"
            yield names[i], words, own[i], structure.unflatten([one if j == i else z for j, z in enumerate(zeros)])


def _probed(
    leaf: str, words: str, dtype: Any, direction: Params, grads: Params, values: jax.Array, rtol: float
) -> Probe:
    """The verdict on one direction."""
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(direction), strict=True)
    slope = float(sum(jnp.sum(jnp.real(g * d)) for g, d in pairs))
    difference, error, sides = _differences(np.asarray(values))
    gap, scale = abs(slope - difference), max(abs(slope), abs(difference), np.finfo(float).tiny)
    low, high = min(sides), max(sides)
    kink = high - low > 1e-3 * max(abs(low), abs(high)) and high - low > 100 * error
    between = low - rtol * scale <= slope <= high + rtol * scale
    allowed = rtol * scale + SAFETY * error
    verdict = RIGHT if gap <= allowed and not kink else KINK if kink and between else WRONG
    unit = float(np.exp2(np.floor(np.log2(scale)))) * float(jnp.finfo(dtype).eps)
    return Probe(
        leaf, words, slope, difference, error, gap / scale if gap else 0.0, gap / unit if gap else 0.0, verdict
    )


def _differences(values: np.ndarray) -> tuple[float, float, tuple[float, float]]:
    """(central difference, its error, slopes to both sides) from the values at the offsets."""
    here, up, down = values[0], values[1 : 1 + len(STEPS)], values[1 + len(STEPS) :]
    still = (up == here) | (down == here)  # steps too short for a loss that rounds inside, unless they all are
    up, down = (np.where(still & ~still.all(), np.nan, side) for side in (up, down))
    central, right, left = (up - down) / (2 * STEPS), (up - here) / STEPS, (here - down) / STEPS
    rounding = np.finfo(float).eps * np.max(np.abs(values[np.isfinite(values)]), initial=0) / STEPS
    apart = np.abs(np.diff(central)) + rounding[1:]
    best = int(np.nanargmin(np.where(np.isfinite(apart), apart, np.inf)))
    sides = _settled(right, rounding), _settled(left, rounding)
    return float(central[best + 1]), float(apart[best]), sides


def _settled(slopes: np.ndarray, rounding: np.ndarray) -> float:
    """A one-sided slope in the limit of small steps: two neighbours, extrapolated, where they agree best."""
    ratio = STEPS[0] / STEPS[1]
    limits = (ratio * slopes[1:] - slopes[:-1]) / (ratio - 1)
    apart = np.abs(np.diff(limits)) + rounding[2:]
    return float(limits[int(np.nanargmin(np.where(np.isfinite(apart), apart, np.inf))) + 1])
