"""Gradient checking by differences of the loss along directions, each with an estimate of its error.

    central(h) = (f(p + h d) - f(p - h d)) / 2h         truncation error of order h², rounding error of order noise / h

The loss is evaluated in float64, whatever the parameters' dtype, for a geometric sequence of steps h over the range of
the parameters' sizes. Its noise is measured from high-order differences of closely spaced values. From the shortest step
upward the difference quotients must agree within noise / h, and the last that does is taken (Lepski's rule). So a loss
that rounds to float32 internally is not reported as wrong, and distant features (a kink, another period of a fast sine)
do not influence the slope. If the slopes on both sides differ for every step, the point is a kink and the gradient is not
called wrong; if the noise is larger than the slope, the probe is undecided. A gradient must be finite in its dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.backprop.verdict import KINK, RIGHT, UNDECIDED, WRONG, Check, Probe
from gdjax.forms import Form, Loss, Stateful, explain_errors
from gdjax.jaxprs import inner_jaxprs
from gdjax.programs import retrace
from gdjax.types import Params

STEPS = 32  # number of steps h
SHORTEST, LONGEST = 2.0**-44, 2.0**6  # step range, relative to the smallest and the largest parameter that changes
RANGE = 1e-30  # smallest ratio of two parameters that is distinguished from zero
NOISE = 3.0  # error bound of a difference quotient, in units of noise / h
LOCAL = 2.0**-3  # largest step, relative to the parameters, unless the loss is linear
STRAIGHT = 1e-2  # largest relative difference of the slopes on both sides of a linear loss
SAFETY = 3.0  # factor of the tolerated error
BLIND = 0.1  # largest error, relative to the slope, of a probe that can decide
FLAT = 1e-4  # error, relative to the slope further away, with which a slope may be called zero
JUMP = 1e3  # largest first change of a continuous loss, in units of the noise


def check_gradients(
    loss: Callable[..., Any],
    params: Params,
    *args: Any,
    gradient: Callable[..., Params] | None = None,
    directions: int = 4,
    entries: int = 4,
    rtol: float = 1e-5,
    key: jax.Array | int = 0,
) -> Check:
    """Compare the gradient of a loss with differences of its values.

    Args:
        loss: (params, *args) -> () real, or a pair whose first element is that. A single argument in args is a batch; then
            the loss may have any form that `make_step` takes.
        params: any pytree; floating and complex leaves are probed.
        gradient: (params, *args) -> a tree like params (default: jax.grad(loss)). Both are evaluated at params in float64
            (complex128), and the gradient once more in the dtypes of params, where it must be finite.
        directions: number of random directions through all leaves, in each of which a leaf changes in proportion to its
            size; if there are several leaves, each also has one direction of its own.
        entries: number of sampled entries of each leaf that are probed alone.
        rtol: tolerated relative error, in addition to three times the error estimate of the difference.
        key: a JAX key or an integer seed.

    Returns: a Check; it has passed only if at least one probe was decided.
    Raises: ValueError if the loss is not scalar, or not finite at params in float64.
    Reference: Moré & Wild 2011, SIAM J. Sci. Comput. 33 (noise from difference tables); Lepski 1991 (the step).

    >>> print(gd.backprop.check_gradients(lambda x: jnp.sum(x**2), jnp.array([1.0, 2.0])).passed)
    True
    """
    given, loss = args, _of_any_form(loss, args)
    gradient = None if gradient is None else _of_any_form(gradient, args, is_loss=False)
    with jax.enable_x64(True):
        wide = jax.tree.map(_widen, params)
        args = tuple(jax.tree.map(_widen, args))
        f = jax.jit(retrace(functools.partial(_value, loss, args)))
        here = f(wide)
        check_finite(here)
        grads = gradient(wide, *args) if gradient is not None else _gradient(f, wide)
        tree.check_like("check_gradients", "the gradient", grads, "params", wide)
        along = jax.jit(lambda d, offsets: jax.lax.map(lambda h: f(_along(wide, d, h)), offsets))
        key = jax.random.key(key) if isinstance(key, int) else key
        rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
        paths = list(_paths(params, wide, rng, directions, entries))
        grain = _coarsest(f, wide)
        noise = _noise(paths[0], along, float(here), grain) if paths else 0.0
        found, moves, near = [], False, not paths
        for path in paths:
            values = np.asarray(along(path.direction, jnp.asarray(path.offsets())))
            moves |= bool(np.any(values[:-1] != values[0]))  # the last value is at NaN
            near |= _moves_near(values, noise)
            found.append(_probe(path, grads, values, noise, grain, rtol))
    if moves and not near:
        found = [(p._replace(verdict=UNDECIDED) if p.verdict == RIGHT else p, limit) for p, limit in found]
    alone = sum(p.direction != "random" for p, _ in found)
    total = sum(np.size(x) * (1 + jnp.iscomplexobj(x)) for x in jax.tree.leaves(wide) if _moves(x))
    not_finite = tuple(_not_finite(loss, gradient, params, given)) if paths else ()
    visible = _visible(found, paths, grads)
    probes = tuple(p for p, _ in found)
    return Check(probes, alone, int(total), visible, moves or not paths, near or not moves, not_finite)


def _widen(x: Any) -> Any:
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return jnp.asarray(x, jnp.complex128 if jnp.issubdtype(x.dtype, jnp.complexfloating) else jnp.float64)


def _of_any_form(function: Callable[..., Any], args: tuple[Any, ...], is_loss: bool = True) -> Callable[..., Any]:
    """The function of (params, *args); a single batch is passed in the form of its signature."""
    if len(args) != 1 or isinstance(function, Stateful):
        return function
    form = Form.of("check_gradients", function)
    if is_loss:
        return functools.partial(Loss(function, form), who="check_gradients")
    return lambda params, batch: form.call("check_gradients", function, params, batch, None)


def _value(loss: Callable[..., Any], args: tuple[Any, ...], params: Params) -> jax.Array:
    return jnp.asarray(_number(loss, args, params), jnp.float64)


def _number(loss: Callable[..., Any], args: tuple[Any, ...], params: Params) -> jax.Array:
    """The value of the loss in its own dtype."""
    with explain_errors("check_gradients"):
        answer = loss(params, *args)
    value = answer[0] if isinstance(answer, (tuple, list)) and len(answer) > 0 else answer
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, int, float, complex)):
        kind = f"a {type(answer).__name__}" + (f" of {', '.join(map(str, answer))}" if isinstance(answer, dict) else "")
        raise ValueError(
            f"check_gradients: the loss must be one real number, or a pair whose first is one, got {kind}; return the number"
        )
    if jnp.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise ValueError(
            f"check_gradients: the loss must be one real number, got {jnp.result_type(value)} of shape {jnp.shape(value)}"
        )
    return jnp.asarray(value)


def _not_finite(loss: Any, gradient: Any, params: Params, args: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """A message for each leaf whose gradient is not finite in the dtypes of params and args."""
    dtypes = {(x if isinstance(x, jax.Array) else np.asarray(x)).dtype for x in jax.tree.leaves((params, args))}
    narrow = {dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact)} - {np.dtype(float), np.dtype(complex)}
    if jax.config.jax_enable_x64 and not narrow:  # type: ignore[attr-defined]
        return  # reported already
    if gradient is None:
        grads = _gradient(jax.jit(retrace(functools.partial(_number, loss, args))), params)
    else:
        grads = gradient(params, *args)
    for (path, g), p in zip(jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(params), strict=True):
        bad = np.asarray(g)[~np.isfinite(np.asarray(g))] if _moves(p) else np.zeros(0)
        if bad.size:
            leaf, dtype = tree.path_string(path), jnp.result_type(p)
            yield leaf, f"in {dtype}, which {leaf} has, {bad.size} of {np.size(g)} entries are not finite, {bad[0]}"


def check_finite(value: jax.Array) -> None:
    if not jnp.isfinite(value):
        raise ValueError(f"check_gradients: the loss must be finite at params, got {value}")


def _gradient(f: Callable[..., Any], params: Params) -> Params:
    """jax.grad with respect to the floating leaves; None for others."""
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


class _Path(NamedTuple):
    """A straight line through params, and the steps along it."""

    leaf: str
    words: str
    dtype: Any  # dtype of the parameters that change
    direction: Params
    size: float  # size of the largest parameter that changes, in units of the direction
    finest: float  # size of the smallest

    def steps(self) -> np.ndarray:
        return np.geomspace(SHORTEST * max(self.finest, RANGE * self.size), LONGEST * self.size, STEPS)

    def offsets(self) -> np.ndarray:
        """0, both sides of every step, and NaN, which shows whether the loss depends on these parameters at all."""
        return np.concatenate([[0.0], self.steps(), -self.steps(), [np.nan]])


def _along(params: Params, direction: Params, h: jax.Array) -> Params:
    """params + h direction; entries of direction 0 are unchanged, also for h = NaN."""
    return jax.tree.map(lambda p, d: jnp.where(d != 0, p + h * d, p) if _moves(p) else p, params, direction)


def _sizes(leaf: Any) -> tuple[float, float]:
    """The largest and the smallest absolute value of a leaf's nonzero entries; 1 if all are zero."""
    sizes = np.abs(np.asarray(leaf))
    sizes = sizes[(sizes > 0) & np.isfinite(sizes)]
    return (float(sizes.max()), float(sizes.min())) if sizes.size else (1.0, 1.0)


def _paths(params: Params, wide: Params, rng: np.random.Generator, number: int, entries: int) -> Iterator[_Path]:
    """Paths through all leaves, through each leaf, and along single entries of each."""
    leaves, structure = jax.tree.flatten(wide)
    own = [jnp.result_type(leaf) for leaf in jax.tree.leaves(params)]
    names = [tree.path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(wide)]
    moving = [i for i, leaf in enumerate(leaves) if _moves(leaf)]
    sizes = {i: _sizes(leaves[i]) for i in moving}
    zeros = [np.zeros(np.shape(leaf), complex if jnp.iscomplexobj(leaf) else float) for leaf in leaves]

    def signs(i: int) -> np.ndarray:
        """Random signs: all entries change equally, so that an error in any of them is visible."""
        real, imaginary = (rng.choice([-1.0, 1.0], np.shape(leaves[i])) for _ in range(2))
        return (real + 1j * imaginary) / np.sqrt(2) if jnp.iscomplexobj(leaves[i]) else real

    def whole(chosen: dict[int, Any]) -> Params:
        return structure.unflatten([jnp.asarray(chosen.get(i, zero)) for i, zero in enumerate(zeros)])

    coarsest = max((own[i] for i in moving), key=lambda dtype: jnp.finfo(dtype).eps, default=jnp.float32)
    finest = min((low / high for high, low in sizes.values()), default=1.0)
    several = len(moving) > 1
    for _ in range(number if several else 0):
        direction = whole({i: sizes[i][0] * signs(i) for i in moving})
        yield _Path("all", "random", coarsest, direction, 1.0, finest)
    for i in moving:
        for _ in range(1 if several else max(1, number)):
            yield _Path(names[i], "random", own[i], whole({i: signs(i)}), *sizes[i])
        for flat in sorted(rng.choice(np.size(leaves[i]), min(entries, np.size(leaves[i])), replace=False)):
            index = np.unravel_index(flat, np.shape(leaves[i]))
            words = str([int(k) for k in index]) if index else "()"
            size = float(np.abs(leaves[i][index])) or sizes[i][0]
            for unit, prefix in ((1.0, ""), (1j, "i "))[: 1 + jnp.iscomplexobj(leaves[i])]:
                one = zeros[i].copy()
                one[index] = unit
                yield _Path(names[i], prefix + words, own[i], whole({i: one}), sizes[i][0], size)


def _coarsest(f: Callable[..., Any], params: Params) -> float:
    """The largest eps of the floating types that the loss computes in."""
    found = [float(np.finfo(float).eps)]

    def look(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            kinds = (getattr(v.aval, "dtype", None) for v in equation.outvars)
            found.extend(float(jnp.finfo(k).eps) for k in kinds if k is not None and jnp.issubdtype(k, jnp.inexact))
            for inner in inner_jaxprs(equation.params):
                look(inner)

    look(jax.make_jaxpr(f)(params).jaxpr)
    return max(found)


def _noise(path: _Path, along: Callable[..., Any], here: float, coarsest: float) -> float:
    """The standard deviation of the rounding errors of the loss near params, measured along a path."""
    steps, points = path.steps(), np.arange(1.0, 9.0)
    spacings = np.geomspace(steps[0], 2.0**-14 * path.size, 4)
    spacings = np.append(spacings, min(8 * coarsest, 2.0**-5) * path.size)
    offsets = spacings[:, None] * np.concatenate([points, -points])
    values = np.asarray(along(path.direction, jnp.asarray(offsets.ravel()))).reshape(len(spacings), 2, len(points))
    levels = [_scatter(each) for each in values]
    finest = 2 * next((level for level in levels[:-1] if level), 0.0)
    if coarsest == np.finfo(float).eps:
        return max(finest, coarsest * abs(here))
    return max(finest, coarsest * abs(here), 2 * levels[-1])


def _scatter(values: np.ndarray) -> float:
    """The noise of equally spaced values (sides, points), by high-order differences; 0 if most values are equal."""
    if not np.isfinite(values).all() or np.mean(np.diff(values) != 0) < 0.5:
        return 0.0

    def of_order(k: int) -> np.ndarray:
        share = math.factorial(k) ** 2 / math.factorial(2 * k)
        return np.sqrt(share * np.mean(np.diff(values, k) ** 2, axis=-1))

    return float(np.median([of_order(k) for k in (3, 4, 5)], axis=0).max())


def _probe(
    path: _Path, grads: Params, values: np.ndarray, noise: float, grain: float, rtol: float
) -> tuple[Probe, float]:
    """The verdict on one direction, and the smallest error of the slope that it would have detected."""
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(path.direction), strict=True)
    parts = [np.real(np.asarray(g)[d != 0] * d[d != 0]) for g, d in ((g, np.asarray(d)) for g, d in pairs)]
    slope, own = (float(sum(np.sum(f(part)) for part in parts)) for f in (np.asarray, np.abs))
    estimate = _differences(path, values, noise)
    gap, scale = abs(slope - estimate.difference), max(abs(slope), abs(estimate.difference))
    allowed = rtol * scale + SAFETY * estimate.error + grain * own  # rounding of the gradient itself
    verdict, scale = _verdict(slope, gap, scale, allowed, estimate)
    unit = float(np.exp2(np.floor(np.log2(max(scale, np.finfo(float).tiny))))) * float(jnp.finfo(path.dtype).eps)
    relative, ulp = (gap / scale, gap / unit) if gap else (0.0, 0.0)
    probe = Probe(path.leaf, path.words, slope, estimate.difference, estimate.error, relative, ulp, verdict)
    return probe, allowed if verdict == RIGHT else math.inf


class _SlopeEstimate(NamedTuple):
    """The slope along a path, estimated from values, with further evidence."""

    difference: float
    error: float
    low: float  # the slopes on both sides, if they differ significantly
    high: float
    kink: bool
    beyond: float  # the largest slope within the parameters' own size, beyond noise
    beside: float  # the same, within a small part of their size
    moves: bool  # whether the loss changes anywhere
    read: bool  # whether it depends on the parameters that change


def _verdict(slope: float, gap: float, scale: float, allowed: float, estimate: _SlopeEstimate) -> tuple[str, float]:
    """The verdict, and the scale of the relative error."""
    if not math.isfinite(slope):
        return WRONG, scale
    if not math.isfinite(estimate.error):
        return UNDECIDED, scale
    if estimate.kink:
        between = estimate.low - allowed <= slope <= estimate.high + allowed
        return (KINK if between else WRONG), scale
    if gap > allowed:
        return WRONG, scale
    if scale == 0:
        return (RIGHT if estimate.moves or not estimate.read else UNDECIDED), 1.0
    doubt = SAFETY * estimate.error
    if doubt <= BLIND * scale:
        return RIGHT, scale
    # One that is no zero may be so small that all its loss is noise.
    beyond = estimate.beyond if slope == 0 else estimate.beside
    return (RIGHT, beyond) if doubt <= FLAT * beyond else (UNDECIDED, scale)


def _differences(path: _Path, values: np.ndarray, noise: float) -> _SlopeEstimate:
    """The slope estimate from the values at the path's offsets."""
    steps = path.steps()
    here, up, down, read = values[0], values[1 : 1 + STEPS], values[1 + STEPS : -1], values[-1] != values[0]
    rounding = np.maximum(noise, np.finfo(float).eps * np.maximum(np.abs(up), np.abs(down))) / steps
    with np.errstate(invalid="ignore", over="ignore"):
        central, right, left = (up - down) / (2 * steps), (up - here) / steps, (here - down) / steps
        bent = ~(np.abs(right - left) <= STRAIGHT * np.abs(right + left)) & (steps > LOCAL * path.size)
    end = int(np.argmax(bent)) if bent.any() else STEPS
    difference, error = _limit_slope(central[:end], NOISE * rounding[:end])
    (after, doubt), (before, other) = (_limit_slope(side, 2 * NOISE * rounding) for side in (right, left))
    low, high, apart = min(after, before), max(after, before), abs(after - before)
    kink = apart > 1e-3 * max(abs(low), abs(high)) and apart > 2 * SAFETY * (doubt + other)
    sides = np.maximum(np.abs(right), np.abs(left))
    sure = np.isfinite(sides) & (sides > 2 * NOISE * rounding)
    beyond, beside = (float(np.max(sides[sure & (steps <= reach * path.size)], initial=0)) for reach in (1, LOCAL))
    moves = bool(np.any((up != here) | (down != here)))
    return _SlopeEstimate(difference, error, low, high, kink, beyond, beside, moves, bool(read))


def _moves_near(values: np.ndarray, noise: float) -> bool:
    """Whether the loss changes at the shortest step, or by little more than its noise where it first changes."""
    with np.errstate(invalid="ignore"):
        changes = np.abs(np.stack([values[1 : 1 + STEPS], values[1 + STEPS : -1]]) - values[0]).max(0)
    first = int(np.argmax(changes != 0))
    level = max(noise, np.finfo(float).eps * abs(values[0]))
    return bool(changes[first] != 0 and (first == 0 or changes[first] <= JUMP * level))


def _limit_slope(slopes: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The slope in the limit of short steps, and its error: the last slope that agrees with all those of shorter steps."""
    low, high, last = -math.inf, math.inf, -1
    for k, (slope, error) in enumerate(zip(slopes, errors, strict=True)):
        low, high = max(low, slope - error), min(high, slope + error)
        if not (math.isfinite(slope) and low <= high):
            break
        last = k
    if last < 0:
        return math.nan, math.inf
    # One step further the truncation may have been as large as the noise of the step before.
    before = last - 1 if last else 1
    return float(slopes[last]), float(errors[min(before, last)] + abs(slopes[last] - slopes[before]))


def _visible(found: Sequence[tuple[Probe, float]], paths: Sequence[_Path], grads: Params) -> float:
    """The largest error of one entry that might be undetected, relative to the largest entry of its leaf."""
    largest = [float(np.max(np.abs(np.asarray(g)), initial=0)) for g in jax.tree.leaves(grads)]
    names = [tree.path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(grads)]
    of = dict(zip(names, largest, strict=True))
    shares: dict[str, float] = {}
    for (_, limit), path in zip(found, paths, strict=True):
        if path.leaf != "all" and path.words == "random":
            share = limit / of[path.leaf] if of[path.leaf] else (0.0 if math.isfinite(limit) else math.inf)
            shares[path.leaf] = min(share, shares.get(path.leaf, math.inf))
    return max(shares.values(), default=math.inf)
