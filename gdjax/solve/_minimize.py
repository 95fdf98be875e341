"""`minimize`: the minimization of any function by an optimizer or a search."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import optax

from gdjax import stopping, tree
from gdjax.calls import Condition, Optimizer, as_optimizer
from gdjax.data import as_arrays
from gdjax.domain import as_length, as_random_key
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
    """Minimize f, starting from params, until a stopping condition holds.

    Args:
        f: (params, *args) -> (), real.
        params: initial parameters, any pytree of floating arrays, real or complex (real for a method without gradients).
        method: an optimizer of gdjax or Optax, or a method of `gdjax.search`, which needs only values of f, at all of its
            candidates at once (by vmap).
        stop: a condition of `gdjax.stopping`, tested at every step, the start included. The default is converged(1e-5), a
            gradient norm (for least squares, the method's own tests), or the method's own end if it uses no gradient.
            In addition, a run ends as
              DIVERGED   if the value exceeds 1000 max(|first value|, 1), unless the condition has its own `divergence`; if
                         it is -inf; or if it is below -1e15 max(|first value|, 1) and no less steep than at the start;
              NON_FINITE if the value is NaN;
              PATIENCE   if a line search finds no better point twice in a row;
              STALLED    if the parameters after a hundred steps are the same as before.
        max_steps: maximal number of steps, at least 0; the run then ends as BUDGET.
        onto: a set of `gdjax.projections`, such as box(0, 1), in which the parameters are kept, the start included.
        record: rows of the path. True keeps every step. A number keeps at most so many, evenly spread, and the last step; of
            1000 rows or more, a quarter holds the first steps one by one. Under vmap every step copies the rows, so record
            few there.
        args: further arguments of f, which may change from call to call without compiling, and may be differentiated.
        derivative: how params and value are differentiated. "implicit" differentiates the solution with respect to args and
            onto by the implicit function theorem, independently of the path (see `solve.implicit`). The run must end where
            the gradient is zero, or at a fixed point of the optimizer's step (with a projection, a decay, frozen leaves).
            "unrolled" differentiates every step, also with respect to the start and the learning rate; its memory grows with
            max_steps, which must be static. A method of `gdjax.search` is differentiated implicitly only.
        key: a JAX key or an integer seed, for random methods.

    Returns: a `Minimum`, whose grad_norm is NaN if the method uses no gradient. Called directly, it holds NumPy arrays, and
        the path has only the rows used. Under jit, vmap or grad it holds traced arrays, unused rows of the path have step
        -1, and errors about values (not about shapes) become stop codes.
    Raises: ValueError if f is not scalar, real and finite at the start, or if parameters are not floating (the message names
        the leaf); if a run ends NON_FINITE because a loss of gdjax left its domain; and for an implicit derivative if the
        run has not reached a fixed point (under a transformation the derivative is NaN).

    >>> found = gd.minimize(lambda x: (x - 2.0) ** 2, 16.5, gd.sgd(0.1))
    >>> print(found.params, found.stop.name)
    2.0 CONVERGED
    """
    method, params, f = _as_method(method), check_params("minimize", params), bind(f)
    if derivative not in ("implicit", "unrolled"):
        raise ValueError(f"minimize: derivative must be 'implicit' or 'unrolled', got {derivative!r}")
    max_steps = as_length("minimize", "max_steps", max_steps, least=0)
    capacity = record_capacity("minimize", record, max_steps)
    stopping.check_stop("minimize", stop)
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"minimize: args must be a tuple of further arguments of f, write args=(a,), got {args!r}")
    args = as_arrays("minimize", tuple(args))
    onto = None if onto is None else as_set(onto).canonicalize(on_host=True)
    empty = not any(leaf.size for leaf in jax.tree.leaves(params))
    if empty:  # there is no parameter to change
        method = stay() if isinstance(method, Method) else as_optimizer(optax.identity())
    if isinstance(method, Method):
        _check_search(params, derivative)
        loop, condition = Searcher(f, capacity, record is True), stop or stopping.never()
        drawn: tuple = (as_random_key("minimize", key),)
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
        raise error.with_traceback(None) from None  # the message names the user's line
    found = on_host("minimize", found, capacity, onto, f, args)
    if isinstance(found, HostMinimum):
        found.f = lambda params: f(params, *given)
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
