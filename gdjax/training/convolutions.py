"""The convolutions of a loss, whoever's model it is of, as matrix products on CPU.

XLA:CPU runs a convolution inside of a loop 5 to 45 times slower than outside, and a compiled run is a loop. So a loss is
traced, and evaluated again with each convolution as patches and one product (`gdjax.patches`), before it is differentiated:
the gradient is one of products too. This goes into jitted functions, loops, branches and rematerialized parts. Inside of
custom derivatives, and with windows of more than 64 places, convolutions stay as they are. Where they are to be XLA's, those
of `gdjax.models` are made so in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer, eval_jaxpr

from gdjax.jaxprs import is_literal, open_jaxpr
from gdjax.patches import MOST_TAPS, Window, convolve_by_products

CONVOLUTION = "conv_general_dilated"
WAYS = ("products", "native")
ENTERED = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2", "scan", "while", "cond")


def as_way(who: str, way: Any) -> str:
    """How convolutions are computed. Raises: ValueError if there is no such way."""
    if way not in WAYS:
        raise ValueError(f"{who}: convolutions must be 'products' or 'native', got {way!r}")
    return way


def call_with(way: str, function: Callable[..., Any], *args: Any) -> Any:
    """The function of these arguments, its convolutions computed in this way: in compiled programs on CPU.

    One that is evaluated operation by operation, where nothing is in a loop, is called as it is.
    """
    compiled = isinstance(jnp.zeros(()), Tracer)
    if not compiled or jax.default_backend() != "cpu":
        return function(*args)
    return convolved(way, function)(*args)


def convolved(way: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its convolutions computed in this way, to be differentiated afterwards; as it is without any."""

    def call(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        jaxpr, constants = open_jaxpr(closed)
        if not _changes(jaxpr, way):
            return function(*args)
        results = _evaluate(jaxpr, constants, jax.tree.leaves(args), way)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return call


def _changes(jaxpr: Any, way: str) -> bool:
    """Whether there is a convolution in a jaxpr, or in one that it enters, that is computed in another way."""
    return any(
        _is_own_choice(each)
        or (way == "products" and _is_to_replace(each))
        or any(_changes(x, way) for x in _entered(each))
        for each in jaxpr.eqns
    )


def _entered(equation: Any) -> list[Any]:
    """The jaxprs among the parameters of a call, a loop or a branch."""
    if equation.primitive.name not in ENTERED:
        return []
    return [x for _, x in _inner(equation)]


def _inner(equation: Any) -> list[tuple[str, Any]]:
    """(parameter, jaxpr) of each jaxpr among the parameters."""
    listed = [(name, x if isinstance(x, (tuple, list)) else [x]) for name, x in equation.params.items()]
    return [(name, x) for name, several in listed for x in several if hasattr(x, "eqns")]


def _is_to_replace(equation: Any) -> bool:
    if equation.primitive.name != CONVOLUTION:
        return False
    x, w = (v.aval for v in equation.invars)
    sizes = [w.shape[i] for i in equation.params["dimension_numbers"].rhs_spec[2:]]
    is_floating = jnp.issubdtype(x.dtype, jnp.inexact) and jnp.issubdtype(w.dtype, jnp.inexact)
    some = 0 not in (*x.shape, *w.shape, *equation.outvars[0].aval.shape)
    return is_floating and some and int(np.prod(sizes)) <= MOST_TAPS


def _evaluate(jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Any], way: str) -> list[Any]:
    """The results of a jaxpr, whose convolutions are computed in this way."""
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))
    read = lambda atom: atom.val if is_literal(atom) else values[atom]  # noqa: E731
    for equation in jaxpr.eqns:
        found = _results(jaxpr, equation, list(map(read, equation.invars)), way)
        values |= zip(equation.outvars, found, strict=True)
    return list(map(read, jaxpr.outvars))


def _results(jaxpr: Any, equation: Any, inputs: list[Any], way: str) -> list[Any]:
    if way == "products" and _is_to_replace(equation):
        return _in_place_of(equation, lambda x, w: [_product(x, w, **equation.params)], inputs)
    if _is_own_choice(equation):  # its last branch is the convolution, and here it is known of how many rows
        return _evaluate(*open_jaxpr(equation.params["branches"][-1]), inputs[1:], way)
    if any(_changes(x, way) for x in _entered(equation)):
        if equation.params.get("inline"):
            return _evaluate(*open_jaxpr(equation.params["jaxpr"]), inputs, way)
        parameters = {
            name: tuple(_convolved(each, way) for each in x) if isinstance(x, (tuple, list)) else _convolved(x, way)
            for name, x in equation.params.items()
            if name in dict(_inner(equation))
        }
        equation = equation.replace(params={**equation.params, **parameters})
    known = {v: x for v, x in zip(equation.invars, inputs, strict=True) if not is_literal(v)}
    alone = jaxpr.replace(constvars=[], invars=list(known), outvars=equation.outvars, eqns=[equation])
    return eval_jaxpr(alone, [], *known.values())


def _in_place_of(equation: Any, function: Callable[..., list[Any]], inputs: list[Any]) -> list[Any]:
    """The results of a function whose operations have the place of this equation in the source, for whoever asks for it."""
    jaxpr, constants = open_jaxpr(jax.make_jaxpr(function)(*inputs))
    equations = [each.replace(source_info=equation.source_info) for each in jaxpr.eqns]
    return eval_jaxpr(jaxpr.replace(eqns=equations), constants, *inputs)


def _is_own_choice(equation: Any) -> bool:
    """Whether this chooses between products and a convolution by the platform, as `gdjax.patches.convolve` does."""
    if equation.params.get("branches_platforms") != (("cpu",), None):
        return False
    return any(map(_is_to_replace, equation.params["branches"][-1].eqns))


def _convolved(inner: Any, way: str) -> Any:
    """A jaxpr with the same inputs and outputs, whose convolutions are computed in this way; anything else as it is."""
    if not hasattr(inner, "eqns") or not _changes(inner, way):
        return inner
    jaxpr, constants = open_jaxpr(inner)
    new = jax.make_jaxpr(lambda *inputs: _evaluate(jaxpr, constants, inputs, way))(*(v.aval for v in jaxpr.invars))
    return new if isinstance(inner, type(new)) else new.jaxpr


def _product(
    x: jax.Array,
    w: jax.Array,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
    **_: Any,
) -> jax.Array:
    """Any convolution of `jax.lax` by products: axes are brought in order, and groups of rows made groups of channels."""
    (rows, inputs, *space), (outputs, channels, *kernel), (n, out, *places) = dimension_numbers
    x, w = x.transpose(rows, *space, inputs), w.transpose(*kernel, channels, outputs)
    if batch_group_count > 1:
        x = jnp.moveaxis(x.reshape(batch_group_count, -1, *x.shape[1:]), 0, -2)
        x = x.reshape(*x.shape[:-2], -1)
    window = Window(w.shape[:-2], tuple(window_strides), tuple(padding), tuple(rhs_dilation), tuple(lhs_dilation))
    groups = feature_group_count * batch_group_count
    y = convolve_by_products(x, w, window, groups, precision, preferred_element_type)
    return y.transpose(np.argsort((n, *places, out)))
