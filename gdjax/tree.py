"""What pytrees need and `jax.tree` lacks: paths, norms, structure checks that name the path, foreign leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.nodes import Static, is_number


def path_string(path: tuple) -> str:
    return jax.tree_util.keystr(path) or "the root"


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|², real also where x is complex."""
    return x.real * x.real + x.imag * x.imag if jnp.iscomplexobj(x) else x * x


def absolute(x: jax.Array) -> jax.Array:
    """|x| with subgradient 0 at 0, where that of jnp.abs is 1."""
    nonzero = x != 0
    return jnp.where(nonzero, jnp.abs(jnp.where(nonzero, x, 1)), 0)


def ascent(grads: Any) -> Any:
    """The direction of steepest ascent: of a complex parameter, the conjugate of what `jax.grad` gives."""
    return jax.tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)


def global_norm(tree: Any) -> jax.Array:
    """sqrt(sum over all leaves of |x|²), (), at least float32; 0 for the empty tree. Its gradient at 0 is 0."""
    squares = [jnp.sum(abs_sq(jnp.asarray(x, arithmetic_dtype(x)))) for x in jax.tree.leaves(tree)]
    total = sum(squares, start=jnp.zeros((), jnp.float32))
    nonzero = total != 0  # of NaN too
    return jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, total, 1)), 0)


def arithmetic_dtype(*leaves: Any) -> jnp.dtype:
    """The dtype to compute in: that of the leaves together, at least float32."""
    return jnp.result_type(jnp.float32, *(jnp.result_type(leaf) for leaf in leaves))


def cast_like(tree: Any, like: Any) -> Any:
    """Each leaf in the dtype of its counterpart; what a wrapper does to the state it hands back."""
    return jax.tree.map(lambda x, reference: jnp.asarray(x, jnp.result_type(reference)), tree, like)


def check_like(who: str, got_name: str, got: Any, like_name: str, like: Any) -> None:
    """Raise ValueError at the first path where two trees part in structure or leaf shape."""
    got_leaves, got_tree = jax.tree.flatten(got)
    like_leaves, like_tree = jax.tree.flatten(like)
    if got_tree != like_tree:
        raise ValueError(
            f"{who}: {got_name} must have the structure of {like_name}; {_structural_difference(got, like)}"
        )
    for i, (a, b) in enumerate(zip(got_leaves, like_leaves, strict=True)):
        if np.shape(a) != np.shape(b):
            path = path_string(jax.tree_util.tree_leaves_with_path(like)[i][0])
            raise ValueError(
                f"{who}: {got_name}{path} must have shape {np.shape(b)} as in {like_name}, got {np.shape(a)}"
            )


def _structural_difference(got: Any, like: Any) -> str:
    ours = {path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(got)}
    theirs = {path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    if missing := sorted(theirs - ours):
        return f"it lacks {missing[0]}"
    if extra := sorted(ours - theirs):
        return f"it has {extra[0]} besides"
    return f"got {jax.tree.structure(got)}, expected {jax.tree.structure(like)}"


def part(tree: Any) -> Any:
    """Foreign parameters made trainable: what is no array becomes structure (a `Static`), Python numbers arrays.

    A Python number that is an attribute of a module (say `eqx.nn.Dropout.p`) configures it and becomes structure too;
    one in a plain dict, list or tuple is a parameter.
    """

    def part_leaf(path, x):
        if isinstance(x, (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)):
            return x
        is_attribute = any(isinstance(key, jax.tree_util.GetAttrKey) for key in path)
        return jnp.asarray(x) if is_number(x) and not is_attribute else Static(x)

    return jax.tree_util.tree_map_with_path(part_leaf, tree, is_leaf=lambda x: isinstance(x, Static))


def whole(tree: Any) -> Any:
    """The inverse of `part`: structure becomes leaves again, so that a foreign module can be called."""
    is_static = lambda x: isinstance(x, Static)  # noqa: E731
    return jax.tree.map(lambda x: x.value if is_static(x) else x, tree, is_leaf=is_static)


def nodes_with(tree: Any, attribute: str) -> list[Any]:
    """The outermost nodes of a tree that have the attribute, in order: how a state offers a method to the loop."""
    has = lambda x: hasattr(x, attribute)  # noqa: E731
    return [x for x in jax.tree.leaves(tree, is_leaf=has) if has(x)]


def distinct_copy(tree: Any) -> Any:
    """Every leaf in a buffer of its own, so that the whole tree may be donated."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)


def leafmap(function: Callable[..., Any], tree: Any, *rest: Any) -> list[Any]:
    """function over the leaves of trees alike, as a list."""
    leaves, structure = jax.tree.flatten(tree)
    return [function(*args) for args in zip(leaves, *map(structure.flatten_up_to, rest), strict=True)]


def spread_mask(mask: Any, tree: Any) -> Any:
    """A mask (None: all; a tree of bools or a prefix of one; a function tree -> mask) as one bool per leaf of tree."""
    mask = mask(tree) if callable(mask) else mask
    if mask is None:
        return jax.tree.map(lambda _: True, tree)
    return jax.tree.map(lambda chosen, branch: jax.tree.map(lambda _: bool(chosen), branch), mask, tree)


def select(condition: jax.Array, if_true: Any, if_false: Any) -> Any:
    """Leaf by leaf `where`, in the dtype of if_false."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b).astype(jnp.result_type(b)), if_true, if_false)
