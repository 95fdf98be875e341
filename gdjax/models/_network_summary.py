"""Tables of a model at work: the shapes through it, its operations, and the memory of a step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax.calls import Model, as_optimizer
from gdjax.jaxprs import called_jaxpr, is_literal, open_jaxpr
from gdjax.models._operations import KINDS, count_operations, of_equation
from gdjax.text import html_table, table
from gdjax.tree import path_string

NUMBERS = (2, 3)  # columns of the table that hold numbers


class Layer(NamedTuple):
    """A part of a model that begins where some parameters are used, and ends before the next."""

    path: str  # of these parameters
    shape: tuple[int, ...]  # of what it hands on
    parameters: int
    operations: int  # forward


class Memory(NamedTuple):
    """Bytes that a step takes, as its compiled program says."""

    parameters: int
    optimizer: int
    x: int
    working: int  # gradients, activations, and all else that is computed with

    @property
    def total(self) -> int:
        return sum(self)


@dataclass(frozen=True)
class NetworkSummary:
    """The layers of a model for inputs of one shape, and what a step of training takes. It prints as a table."""

    layers: tuple[Layer, ...]
    parameters: int
    forward: dict[str, int]  # kind -> operations, of the outputs
    step: dict[str, int]  # of outputs, gradients and update
    memory: Memory | None  # of a step; None where the backend does not say

    def __str__(self) -> str:
        return f"{table(self._rows(), right=NUMBERS)}\n{self._totals()}"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return html_table(self._rows(), NUMBERS, self._totals())

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [("layer", "output", "parameters", "operations")]
        rows += [(x.path, str(x.shape), f"{x.parameters:,}", f"{x.operations:,}") for x in self.layers]
        return [*rows, ("total", "", f"{self.parameters:,}", f"{sum(self.forward.values()):,}")]

    def _totals(self) -> str:
        total = max(1, sum(self.step.values()))
        shares = ", ".join(f"{kind} {self.step[kind] / total:.0%}" for kind in KINDS)
        lines = [f"operations of a step {sum(self.step.values()):,}: {shares}"]
        if self.memory is not None:
            parts = ", ".join(f"{name} {number / 1e6:.3g}" for name, number in self.memory._asdict().items() if number)
            lines.append(f"memory of a step {self.memory.total / 1e6:.3g} MB: {parts}")
        return "\n".join(lines)


def network_summary(model: Model, x: Any, optimizer: Any = None) -> NetworkSummary:
    """See `summary`."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(model.init, key)
    x = jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)), x)
    forward = jax.make_jaxpr(lambda params, x: model.apply_with_state(params, model.init_state(), x)[0])(params, x)
    optimizer = as_optimizer(optax.sgd(1.0) if optimizer is None else optimizer)
    given = params, jax.eval_shape(optimizer.init, params), jax.eval_shape(model.init_state), x, key

    def step(params, opt_state, state, x, key):
        grads, state = jax.grad(lambda params: _loss(model, params, state, x, key), has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, state

    return NetworkSummary(
        layers=tuple(_layers(forward, params)),
        parameters=_count(params),
        forward=_by_kind(count_operations(forward)),
        step=_by_kind(count_operations(jax.make_jaxpr(step)(*given))),
        memory=_memory(step, *given),
    )


def _loss(model: Model, params: Any, state: Any, x: Any, key: Any) -> tuple[jax.Array, Any]:
    """The mean of the squared outputs, which stands for any loss."""
    y, state = model.apply_with_state(params, state, x, key)
    return sum((jnp.mean(jnp.square(each)) for each in jax.tree.leaves(y)), jnp.zeros(())), state


def _memory(step: Any, params: Any, opt_state: Any, state: Any, x: Any, key: Any) -> Memory | None:
    compiled = jax.jit(step, donate_argnums=(0, 1, 2)).lower(params, opt_state, state, x, key).compile()
    said = compiled.memory_analysis()
    if said is None:
        return None
    arguments = [_bytes(each) for each in (params, opt_state, x)]
    returned = max(0, said.output_size_in_bytes - said.alias_size_in_bytes)
    total = said.argument_size_in_bytes + returned + said.temp_size_in_bytes
    return Memory(*arguments, working=total - sum(arguments))


def _layers(jaxpr: Any, params: Any) -> Iterator[Layer]:
    """The equations in order, cut where the parameters of another place are used for the first time.

    What is made of weights alone (a reshape, a scale brought to the axes of x) belongs to the layer that uses it.
    """
    places, sizes = _places(params), dict(enumerate(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)))
    made_of = {v: frozenset({i}) for i, v in enumerate(open_jaxpr(jaxpr)[0].invars[: len(sizes)])}
    path, parameters, operations, shape = None, 0, 0, ()
    before = Counter[int]()  # leaf -> operations on weights alone
    for equation, used, is_weight in _uses(jaxpr, made_of):
        if is_weight:
            before[min(used)] += of_equation(equation).total()
            continue
        place = places[min(used)] if used else path
        if place != path:
            if path is not None:
                yield Layer(path, shape, parameters, operations)
                parameters, operations = 0, 0
            path = place
        parameters += sum(sizes.pop(i, 0) for i in used)
        operations += of_equation(equation).total() + sum(before.pop(i, 0) for i in used)
        shape = _shape(equation) or shape
    yield Layer(path or "", shape, parameters, operations)


def _places(params: Any) -> list[str]:
    """The path of each leaf without its name; if there are others below the root, the leaves there have their own."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    deep = any(len(path) > 1 for path in paths)
    return [path_string(path[:-1] if len(path) > 1 or not deep else path) for path in paths]


def _shape(equation: Any) -> tuple[int, ...]:
    """The shape of the numbers that an equation gives; () where it gives none."""
    made = equation.outvars[-1].aval
    return made.shape if jnp.issubdtype(getattr(made, "dtype", bool), jnp.inexact) else ()


def _uses(jaxpr: Any, made_of: dict[Any, frozenset[int]]) -> Iterator[tuple[Any, frozenset[int], bool]]:
    """Each equation, also inside of calls, with the leaves that it uses, and whether it makes a weight of weights alone."""
    for equation in open_jaxpr(jaxpr)[0].eqns:
        inputs = [v for v in equation.invars if not is_literal(v)]
        used = frozenset[int]().union(*(made_of.get(v, ()) for v in inputs))
        is_weight = bool(inputs) and all(v in made_of for v in inputs)
        if is_weight:
            made_of.update(dict.fromkeys(equation.outvars, used))
        inner = called_jaxpr(equation)
        if inner is None or not used or is_weight:
            yield equation, used, is_weight
            continue
        within = open_jaxpr(inner)[0]
        inside = _renamed(made_of, equation.invars, within.invars)
        yield from _uses(inner, inside)
        made_of.update(_renamed(inside, within.outvars, equation.outvars))


def _renamed(made_of: dict[Any, frozenset[int]], old: Sequence[Any], new: Sequence[Any]) -> dict[Any, frozenset[int]]:
    """What variables are made of, by their names inside of a call, or outside."""
    return {b: made_of[a] for a, b in zip(old, new, strict=True) if not is_literal(a) and a in made_of}


def _by_kind(counted: Counter[str]) -> dict[str, int]:
    return {kind: counted[kind] for kind in KINDS}


def _count(shapes: Any) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))


def _bytes(shapes: Any) -> int:
    leaves: Sequence[Any] = jax.tree.leaves(shapes)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
