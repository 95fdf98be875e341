"""Any function, from a start to a stop: `minimize`."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.core import Tracer

from gdjax import stopping, tree
from gdjax.calls import Condition, Optimizer, as_optimizer
from gdjax.data import as_arrays
from gdjax.forms import LossError
from gdjax.programs import bind, compile_once
from gdjax.projections import as_set
from gdjax.search import Method
from gdjax.search._method import stay
from gdjax.solve.ask_and_tell import Searcher
from gdjax.solve.descent import GENTLE, Minimizer, watch_divergence
from gdjax.solve.host import PackedRun, on_host
from gdjax.solve.minimum import HostMinimum, Minimum
from gdjax.solve.problem import check_params, is_traced, record_capacity, with_captured
from gdjax.solve.stationary import kind_of_point
from gdjax.types import Params


def minimize(
    f: Callable[..., jax.Array],
    params: Params,
    method: Any,
    *,
    stop: Condition | None = None,
    max_steps: int = 10_000,
    onto: Any = None,
    record: int | bool | None = None,
    args: tuple[Any, ...] = (),
    derivative: str = "implicit",
    key: jax.Array | int = 0,
) -> Minimum:
    """Go down f from params until a condition stops it.

    Args:
        f: (params, *args) -> (), real.
        params: the start, any pytree of real or complex floating arrays; real for a method without gradients.
        method: an optimizer, ours or Optax's; or a method of `gdjax.search`, which asks for values alone, at all its
            candidates at once (a vmap).
        stop: a condition of `gdjax.stopping`, asked at every step, the start included. None is converged(1e-5), the
            gradient norm, but for least squares; and the method's own end where there is no gradient. A value above a
            thousand times the first (or 1000) is DIVERGED unless the condition holds a `divergence` of its own; so is one
            of minus infinity, or below -1e15 times the first (or -1e15) where it is no less steep than at the start. One
            that is not a number is NON_FINITE; a line search that twice in a row finds no better point is PATIENCE; a run
            that stands after a hundred steps where it stood before is STALLED.
        max_steps: BUDGET after so many, at least 0.
        onto: a set of `gdjax.projections` (box(0, 1), say) that the parameters are kept in, the start included.
        record: rows of the path: True keeps every step; a number keeps at most so many, evenly spread, and the last; of a
            thousand or more a quarter holds the first steps one by one. Under vmap every step copies the rows: keep them
            few there.
        args: further arguments of f: what changes from call to call without compiling, and can be differentiated.
        derivative: of params and value. "implicit" differentiates the solution with respect to args (and onto) by the
            implicit function theorem, whatever the way that led there (see `solve.implicit`): where the gradient is zero, or
            where the optimizer's own step leads nowhere else (a projection, a decay, frozen leaves); not of a start or a
            rate. "unrolled" differentiates every step, in reverse mode too, in memory that grows with max_steps (a static
            number then). A method of `gdjax.search` is differentiated implicitly only.
        key: a JAX key or an int seed, for the methods that draw.

    Returns: a `Minimum`; its grad_norm is NaN where no gradient is asked for. Called directly it is NumPy on the host with
        the path trimmed; under jit, vmap or grad it holds arrays, the path has -1 as `step` in rows not used, and errors of
        values (not of shapes) become stop codes.
    Raises: ValueError for an f that is not scalar, real and finite at the start, or for parameters that are not floating;
        the message names the leaf. Where the run ends NON_FINITE because one of our losses was given what it is not defined
        for, that loss says so. An implicit derivative where the run has not come to a fixed point raises ValueError, under a
        transformation it is NaN.

    >>> minimize(lambda x: (x - 2.0) ** 2, 16.5, sgd(0.1)).params         # 2.0
    """
    method, params, f = _as_method(method), check_params("minimize", params), bind(f)
    if derivative not in ("implicit", "unrolled"):
        raise ValueError(f"minimize: derivative must be 'implicit' or 'unrolled', got {derivative!r}")
    if not isinstance(max_steps, Tracer) and max_steps < 0:
        raise ValueError(f"minimize: max_steps must be at least 0, got {max_steps}")
    capacity = record_capacity("minimize", record, max_steps)
    args = as_arrays("minimize", tuple(args))
    onto = None if onto is None else as_set(onto).canonicalize(on_host=True)
    empty = not any(leaf.size for leaf in jax.tree.leaves(params))
    if empty:  # nothing can move
        method = stay() if isinstance(method, Method) else as_optimizer(optax.identity())
    if isinstance(method, Method):
        _check_search(params, derivative)
        loop, condition = Searcher(f, capacity, record is True), stop or stopping.never()
        drawn: tuple = (jax.random.key(int(key)) if isinstance(key, numbers.Integral) else key,)
    else:
        unrolled = max_steps if derivative == "unrolled" else None
        loop, condition, drawn = Minimizer(f, capacity, record is True, unrolled), watch_divergence(stop or GENTLE), ()
    condition, given = condition.canonicalize(on_host=True), args
    call: Any = compile_once(PackedRun(loop))
    if is_traced((params, method, stop, max_steps, onto, args, drawn)) or call.captures_tracers:
        f, args = with_captured(f, params, args)
        call = dataclasses.replace(loop, f=f)
    try:
        found = call(params, method.canonicalize(on_host=True), condition, max_steps, onto, args, *drawn)
    except LossError as error:
        raise error.with_traceback(None) from None  # its words name the user's own line
    found = on_host("minimize", found, capacity, onto, f, args)
    if isinstance(found, HostMinimum) and onto is None and not empty and isinstance(method, Optimizer):
        found.look = functools.partial(kind_of_point, f, given)
    return found


def _as_method(method: Any) -> Optimizer | Method:
    try:
        return method if isinstance(method, Method) else as_optimizer(method)
    except TypeError as error:
        words = "the method must be an optimizer, such as adam(0.1), or a method of gdjax.search, such as nelder_mead()"
        raise TypeError(f"minimize: {words}, got {method!r}") from error


def _check_search(params: Params, derivative: str) -> None:
    if derivative != "implicit":
        raise ValueError(f"minimize: derivative must be 'implicit' for a method without gradients, got {derivative!r}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jax.numpy.iscomplexobj(leaf):
            where = tree.leaf_name("params", path)
            raise ValueError(f"minimize: {where} must be real for a method without gradients, got {leaf.dtype}")
