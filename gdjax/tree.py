"""Functions of pytrees that `jax.tree` lacks: paths, norms, checks that name the path, leaves of foreign modules."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.calls import Static, is_number
from gdjax.fingerprint import by_value, itself
from gdjax.text import near


def path_string(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path) or "the root"


def leaf_name(name: str, path: tuple[Any, ...]) -> str:
    """The name of a leaf of a tree that has a name, e.g. "params['w']"; the name alone if the tree is one array."""
    return name + jax.tree_util.keystr(path)


def dotted_path(path: tuple[Any, ...]) -> str:
    """The path of a leaf as patterns see it, such as "layers.0.w"."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def paths_of(tree: Any) -> list[str]:
    return [dotted_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def list_paths(paths: list[str]) -> str:
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    return ", ".join(map(repr, paths[:10])) + more


def check_patterns(who: str, patterns: Iterable[str], paths: list[str]) -> None:
    """Raise ValueError for a regular expression that is found in none of the paths, if there are any."""
    for pattern in patterns:
        if paths and not any(re.search(pattern, path) for path in paths):
            close = near(pattern, paths)
            hint = f"; did you mean {close!r}?" if close else ""
            raise ValueError(f"{who}: {pattern!r} must be found in one of the paths {list_paths(paths)}{hint}")


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|², which is real also for a complex x."""
    return x.real * x.real + x.imag * x.imag if jnp.iscomplexobj(x) else x * x


def absolute(x: jax.Array) -> jax.Array:
    """|x|, with derivative 0 at 0 (that of jnp.abs is 1)."""
    nonzero = x != 0
    return jnp.where(nonzero, jnp.abs(jnp.where(nonzero, x, 1)), 0)


def ascent(grads: Any) -> Any:
    """The direction of steepest ascent: for a complex parameter, the conjugate of what `jax.grad` returns."""
    return jax.tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)


class Norm(NamedTuple):
    """A Euclidean norm as size / scale, so that the square of a finite number neither overflows nor underflows.

    The scale is a power of two; it is 1 unless the plain sum of squares overflows or loses digits. x * scale * (1 / size)
    has length 1 even where the norm itself overflows.
    """

    size: jax.Array  # |scale x|, (), at least float32
    scale: jax.Array


def norm(tree: Any) -> Norm:
    """The norm of all leaves together, sqrt(sum |x|²); 0 for the empty tree. Its gradient at 0 is 0.

    It is inf if an entry is infinite, and NaN if one is NaN.
    """
    leaves = [x for x in map(jnp.asarray, jax.tree.leaves(tree)) if x.size]
    dtype = jnp.finfo(arithmetic_dtype(*leaves)).dtype
    if not leaves:
        return Norm(jnp.zeros((), dtype), jnp.ones((), dtype))
    return Norm(*_norm([x if _is_float(x) else x.astype(dtype) for x in leaves]))


def global_norm(tree: Any) -> jax.Array:
    """sqrt(sum over all leaves of |x|²), (), at least float32; 0 for the empty tree. Its gradient at 0 is 0."""
    size, scale = norm(tree)
    return size / scale


@jax.custom_jvp
@jax.jit  # so that a call outside jit is one program
def _norm(leaves: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """(size, scale) of `Norm`. The sum is computed with scale 1, and a second time with another scale only if that fails.

    It is written as a loop and not as two branches, so that the sum is compiled once, and so that XLA cannot fuse it with
    its uses, each of which would repeat the sum.
    """
    dtype = jnp.finfo(arithmetic_dtype(*leaves)).dtype
    info = jnp.finfo(dtype)
    far = dtype.type(2.0 ** (3 * info.maxexp // 8))
    number = sum(x.size for x in leaves)
    least = min(number * float(info.tiny / info.eps), 1.0)  # below it, underflow of squares would be noticeable

    def add(state):
        _, total, tries = state
        half = jnp.where(tries == 0, 1, jnp.where(total < 1, far, 1 / far)).astype(dtype)
        return half, sum(_sum_sq(x, half, dtype) for x in leaves), tries + 1

    def fails(state):
        _, total, tries = state
        return (tries == 0) | ((tries == 1) & ~((total >= least) & (total < jnp.inf)))

    half, total, _ = jax.lax.while_loop(fails, add, (jnp.ones((), dtype), jnp.zeros((), dtype), 0))
    return jnp.sqrt(total), half * half


@_norm.defjvp
def _norm_jvp(primals, tangents):
    (leaves,), (directions,) = primals, tangents
    size, scale = _norm(leaves)

    def along(x, t):
        x, t = x.astype(arithmetic_dtype(x, size)), t.astype(arithmetic_dtype(t, size))
        return jnp.sum(x.real * scale * t.real + x.imag * scale * t.imag if jnp.iscomplexobj(x) else x * scale * t)

    total = sum(map(along, leaves, directions))
    return (size, scale), (ratio(total, size) * scale, jnp.zeros_like(scale))


def _sum_sq(x: jax.Array, half: jax.Array, dtype: Any) -> jax.Array:
    """sum |half² x|², scaled in two steps: XLA rewrites (scale x)² of a constant x as scale² x², which is inf * 0 at 0."""
    return jnp.sum(abs_sq(x.astype(arithmetic_dtype(x, dtype)) * half * half))


def _is_float(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def norm_along(x: jax.Array, axis: int | tuple[int, ...] | None) -> Norm:
    """The `Norm` along some axes of an array, which are kept with length 1; its gradient at 0 is 0."""
    scale = 1 / power_of_two(jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0)))
    return Norm(root(jnp.sum(abs_sq(x * scale), axis=axis, keepdims=True)), scale)


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """sqrt(x), with derivative 0 at 0."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals, tangents):
    value = root(*primals)
    return value, ratio(0.5 * tangents[0], value)


def power_of_two(x: jax.Array) -> jax.Array:
    """The largest power of two up to x >= 0, clipped so that its inverse is finite; a division by it is exact."""
    info = jnp.finfo(x.dtype)
    exponent = jnp.where(x < jnp.inf, jnp.frexp(x)[1] - 1, -info.minexp)  # NaN: any will do
    return jnp.ldexp(jnp.ones_like(x), jnp.where(x > 0, jnp.clip(exponent, info.minexp, -info.minexp), info.minexp))


def ratio(a: Any, b: Any) -> jax.Array:
    """a / b for b > 0, else 0. Only the divisor is guarded, so that the derivative is finite too."""
    return a / jnp.where(b > 0, b, jnp.inf)


def shorten(tree: Any, limit: Any) -> Any:
    """x min(1, limit / |x|), with the norm of all leaves together, in at least float32; x itself if its norm is NaN."""
    size = norm(tree)
    return jax.tree.map(lambda x: shorten_leaf(x, size, limit), tree)


def shorten_leaf(x: jax.Array, size: Norm, limit: Any) -> jax.Array:
    """x min(1, limit / size)."""
    outside = size.size > limit * size.scale
    factor = jnp.where(outside, limit, 1) / jnp.where(outside, size.size, 1)
    return x * jnp.where(outside, size.scale, 1) * factor


def shorten_entries(x: jax.Array, limit: Any) -> jax.Array:
    """Each entry of a complex array, shortened to a modulus of at most `limit`."""
    size = absolute(x)
    outside = size > limit
    return jnp.where(outside, x / jnp.where(outside, size, 1) * limit, x)


def direction(tree: Any) -> Any:
    """x / |x|, with the norm of all leaves together, in at least float32; 0 if x is 0.

    If an entry is not finite, it stays as it is, and the finite ones become 0.
    """
    size, scale = norm(tree)
    return jax.tree.map(lambda x: ratio(x * scale, size), tree)


def increment(count: Any, made: Any = True, period: Any = 1) -> jax.Array:
    """count + 1, or count if no update was made. At its largest value the counter goes back by one period.

    So a counter neither becomes negative nor loses its phase; one of period 1 stays at its largest value.
    """
    largest = jnp.iinfo(count.dtype).max
    step = jnp.where(count < largest, 1, 1 - jnp.asarray(period, count.dtype))
    return count + jnp.where(made, step, 0).astype(count.dtype)


def arithmetic_dtype(*leaves: Any) -> jnp.dtype:
    """The dtype to compute in: the promoted dtype of the leaves, at least float32."""
    return jnp.result_type(jnp.float32, *(jnp.result_type(leaf) for leaf in leaves))


def wide(x: Any) -> Any:
    """A tree with each leaf in the dtype that is computed in, at least float32."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, arithmetic_dtype(leaf)), x)


def widen(x: Any) -> Any:
    """A 16-bit float as float32, before it is squared or summed; anything else as it is."""
    narrow = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    return jnp.asarray(x, jnp.float32) if narrow else x


def rescale(weights: jax.Array) -> jax.Array:
    """Weights of the same ratios whose sum neither overflows nor vanishes; those of usual size as they are."""
    limit = 2.0 ** (jnp.finfo(weights.dtype).maxexp // 2)
    most = jax.lax.stop_gradient(jnp.max(weights, initial=0))
    return weights * jnp.where(most > limit, 1 / limit, jnp.where(most < 1 / limit, limit, 1))


def share_of(weight: jax.Array, total: jax.Array, number: Any) -> jax.Array:
    """The share of the last of a number of terms in their weighted mean; all have the same if no weight is above 0."""
    return jnp.where(total == 0, 1 / number, weight / jnp.where(total == 0, 1, total)).astype(total.dtype)


def mix(mean: Any, x: Any, share: jax.Array) -> Any:
    """mean + share (x - mean), in the dtypes of the mean. Of what has no share, nothing is read: NaN has no influence."""

    def mix_leaf(mean: jax.Array, x: jax.Array) -> jax.Array:
        x, part = x.astype(mean.dtype), share.astype(jnp.finfo(mean.dtype).dtype)
        return jnp.where(share == 1, x, jnp.where(share == 0, mean, mean + part * (x - mean)))

    return jax.tree.map(mix_leaf, mean, x)


def cast_like(tree: Any, like: Any) -> Any:
    """Each leaf in the dtype of its counterpart."""
    return jax.tree.map(_cast, tree, like)


def _cast(x: Any, like: Any) -> jax.Array:
    """x in the dtype of like; a random key as it is."""
    dtype = jnp.result_type(like)
    return x if jnp.issubdtype(dtype, jax.dtypes.prng_key) else jnp.asarray(x, dtype)


def need_params(who: str, params: Any, purpose: str = "") -> None:
    """Raise ValueError if an update is called without the parameters."""
    if params is None:
        raise ValueError(f"{who}: update needs params{purpose and ' to ' + purpose}, got None")


def check_like(who: str, got_name: str, got: Any, like_name: str, like: Any) -> None:
    """Raise ValueError at the first path where two trees differ in structure or in the shape of a leaf."""
    got_leaves, got_tree = jax.tree.flatten(got)
    like_leaves, like_tree = jax.tree.flatten(like)
    if got_tree != like_tree:
        raise ValueError(
            f"{who}: {got_name} must have the structure of {like_name}; {_structural_difference(got, like)}"
        )
    for i, (a, b) in enumerate(zip(got_leaves, like_leaves, strict=True)):
        if np.shape(a) != np.shape(b):
            where = leaf_name(got_name, jax.tree_util.tree_leaves_with_path(like)[i][0])
            raise ValueError(f"{who}: {where} must have shape {np.shape(b)} as in {like_name}, got {np.shape(a)}")


def _structural_difference(got: Any, like: Any) -> str:
    ours = {path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(got)}
    theirs = {path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    if missing := sorted(theirs - ours):
        return f"it lacks {missing[0]}"
    if extra := sorted(ours - theirs):
        return f"it has {extra[0]} besides"
    return f"got {jax.tree.structure(got)}, expected {jax.tree.structure(like)}"


def part(tree: Any) -> Any:
    """Makes foreign parameters trainable: Python numbers become arrays, and everything else structure (a `Static`).

    A Python number that is an attribute of a module (such as `eqx.nn.Dropout.p`) configures it and becomes structure too;
    one in a plain dict, list or tuple is a parameter. None is weakly typed, which a step would undo, and compile again.
    """

    def part_leaf(path, x):
        if isinstance(x, jax.Array):
            return jnp.asarray(x, x.dtype) if getattr(x, "weak_type", False) else x  # keys know of none
        if isinstance(x, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        if isinstance(x, (np.ndarray, np.generic)):
            return x
        is_attribute = any(isinstance(key, jax.tree_util.GetAttrKey) for key in path)
        return jnp.asarray(x, jnp.result_type(x)) if is_number(x) and not is_attribute else Static(by_value(x))

    return jax.tree_util.tree_map_with_path(part_leaf, tree, is_leaf=lambda x: isinstance(x, Static))


def whole(tree: Any) -> Any:
    """The inverse of `part`: structure becomes leaves again, so that a foreign module can be called."""
    is_static = lambda x: isinstance(x, Static)  # noqa: E731
    return jax.tree.map(lambda x: itself(x.value) if is_static(x) else x, tree, is_leaf=is_static)


def nodes_with(tree: Any, attribute: str) -> list[Any]:
    """The outermost nodes of a tree that have the attribute, in order."""
    has = lambda x: hasattr(x, attribute)  # noqa: E731
    return [x for x in jax.tree.leaves(tree, is_leaf=has) if has(x)]


def refuse_masked(who: str, path: tuple[Any, ...], leaf: Any) -> None:
    """Raise TypeError for an array of NumPy with masked cells: its mask would be lost, and what lies under it be taken."""
    if isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(leaf):
        number = int(np.ma.count_masked(leaf))
        raise TypeError(
            f"{who}: arrays must have no masked cells, got {number:,} of them at {path_string(path)}; leave their rows "
            "out, or write array.filled(value)"
        )


def distinct_copy(tree: Any) -> Any:
    """The tree with every leaf copied to its own buffer, so that the whole tree may be donated."""

    def copy(x: Any) -> jax.Array:
        if not isinstance(x, jax.Array) or isinstance(x, Tracer):
            return jnp.array(x, copy=True)
        if not x.is_fully_addressable:
            return jax.jit(jnp.copy)(x)  # in all processes
        return jax.device_put(x, x.sharding if x.committed else None, may_alias=False)  # compiles nothing

    return jax.tree.map(copy, tree)


@functools.partial(jax.jit, static_argnums=1)
def unstack(tree: Any, number: int) -> list[Any]:
    """The trees that are stacked along the first axis of every leaf, taken apart by one program."""
    return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(number)]


def numbers_as_arrays(tree: Any) -> Any:
    """The tree with its numbers as arrays of NumPy, which have no weak type."""
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x), tree)


def leafmap(function: Callable[..., Any], tree: Any, *rest: Any) -> list[Any]:
    """A function mapped over the leaves of trees of one structure, as a list."""
    leaves, structure = jax.tree.flatten(tree)
    return [function(*args) for args in zip(leaves, *map(structure.flatten_up_to, rest), strict=True)]


def all_finite(tree: Any) -> jax.Array:
    """Whether all entries of all leaves are finite, ()."""
    return functools.reduce(jnp.logical_and, leafmap(lambda x: jnp.all(jnp.isfinite(x)), tree), jnp.ones((), bool))


def all_equal(a: Any, b: Any) -> jax.Array:
    """Whether two trees of one structure have the same entries, (); false where one is NaN."""
    return functools.reduce(jnp.logical_and, leafmap(lambda x, y: jnp.all(x == y), a, b), jnp.ones((), bool))


def spread_mask(mask: Any, tree: Any) -> Any:
    """A mask (None: all; a tree of bools or a prefix of one; a function tree -> mask) as one bool per leaf of tree."""
    mask = mask(tree) if callable(mask) else mask
    if mask is None:
        return jax.tree.map(lambda _: True, tree)
    return jax.tree.map(lambda chosen, branch: jax.tree.map(lambda _: _one_bool(chosen), branch), mask, tree)


def check_mask(mask: Any, params: Any) -> None:
    """Raise what `spread_mask` raises; a tree without leaves, as `optax.tree.map_params` uses, fits any mask."""
    if jax.tree.leaves(params):
        spread_mask(mask, params)


def _one_bool(chosen: Any) -> bool:
    if np.shape(chosen):
        raise ValueError(f"mask: it must have one bool for a whole array, got an array of shape {np.shape(chosen)}")
    return bool(chosen)


def select(condition: jax.Array, if_true: Any, if_false: Any) -> Any:
    """`jnp.where` leaf by leaf, in the dtypes of if_false."""
    return jax.tree.map(lambda a, b: _cast(jnp.where(condition, a, b), b), if_true, if_false)
