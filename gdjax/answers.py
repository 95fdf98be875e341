"""Questions to the state of an optimizer, answered by a part of it at any depth: the protocols of `gdjax.types`.

updated             whether the last call made an update (`Updating`)
skipped             the number of updates skipped (`Skipping`)
waiting             the number of gradients that no update has used (`Accumulating`)
loss_scale          what the loss is to be multiplied by (`LossScaling`)
evaluation_params   the parameters to evaluate and to keep (`Averaging`, `Routing`)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.types import Params


def updated(state: Any) -> Any:
    """Whether the last call made an update: True, or a () bool that is false if it accumulated or skipped.

    All nodes that may withhold an update must have made it. Of the parts of a `partition`, one is enough.
    """
    made = True
    for node in _outermost(state, lambda x: hasattr(x, "updated") or isinstance(x, _OF_OPTAX)):
        if isinstance(node, optax.MultiStepsState):
            flag = node.mini_step == 0
        elif isinstance(node, optax.ApplyIfFiniteState):
            flag = node.last_finite
        else:
            flag = node.updated()
        made = flag if made is True else jnp.logical_and(made, flag)
    return made


_OF_OPTAX = (optax.MultiStepsState, optax.ApplyIfFiniteState)


def _withholds(name: str) -> Callable[[Any], bool]:
    """Whether a node may withhold an update and has an attribute of this name, which parameters may have too."""
    return lambda x: hasattr(x, "updated") and hasattr(x, name)


def skipped(state: Any) -> Any:
    """The updates skipped so far because their gradient was not finite, () int32; None if no node skips any."""
    counts = [node.skipped for node in _outermost(state, _withholds("skipped"))]
    return functools.reduce(jnp.add, counts) if counts else None


def waiting(state: Any) -> Any:
    """The gradients that no update has used yet, () int32; None if no node accumulates any."""
    accumulates = _withholds("waiting")
    nodes = _outermost(state, lambda x: accumulates(x) or isinstance(x, optax.MultiStepsState))
    counts = [x.mini_step if isinstance(x, optax.MultiStepsState) else x.waiting() for x in nodes]
    return functools.reduce(jnp.maximum, counts) if counts else None


def loss_scale(state: Any) -> Any:
    """The factor by which a step multiplies the loss, and by which it divides the gradient; None if no node asks for one.

    Of several nodes, as in the parts of a `partition`, the least: the one whose gradients have overflowed.
    """
    scales = [node.loss_scale for node in _outermost(state, _withholds("loss_scale"))]
    return functools.reduce(jnp.minimum, scales) if scales else None


def if_updated(made: Any, new: Any, old: Any) -> Any:
    """new if an update was made, else old (a tree of the same structure, or a number)."""
    if made is True:
        return new
    if jax.tree.structure(old) != jax.tree.structure(new):
        old = jax.tree.map(lambda _: old, new)
    return tree.select(made, new, tree.cast_like(old, new))


def evaluation_params(state: Any, params: Params) -> Params:
    """The parameters to evaluate: for each leaf the answer of one node, computed from the trained parameters.

    This node is the outermost average of the iterates; if there is none, the outermost node that answers (such as the slow
    weights of `lookahead`); else the leaf itself is taken. Answers are not chained.
    """
    leaves, structure = jax.tree.flatten(params)
    averages, others = (ask(state, params, averages=kind) for kind in (True, False))
    return structure.unflatten(map(_first, averages, others, leaves))


def ask(state: Any, params: Params, averages: bool) -> list[Any]:
    """For each leaf of params the answer of the outermost average (else: of the outermost other node), or None."""
    answers: list[Any] = [None] * len(jax.tree.leaves(params))
    for node in _outermost(state, _answers):
        if isinstance(node, optax.MaskedState):
            mine = _masked_in(node, params)
            said = spread(ask(node.inner_state, _mask(params, mine), averages), mine)
        elif hasattr(node, "route"):
            said = node.route(functools.partial(ask, averages=averages), params)
        elif getattr(node, "is_average", False) == averages:
            said = jax.tree.leaves(node.evaluation_params(params))
        else:  # a node of the other kind: ask the nodes inside it
            said = ask(jax.tree.leaves(node, is_leaf=lambda x, node=node: x is not node), params, averages)
        answers = list(map(_first, answers, said))
    return answers


def _masked_in(state: optax.MaskedState, params: Params) -> list[bool]:
    """For each leaf of params whether an optimizer inside `optax.masked` trains it, as the trees in its state show."""
    structure = jax.tree.structure(params)

    def parts(x: Any) -> list[Any]:
        """The parts of x in the places of the leaves; empty if x is no tree like params, or none of them is masked."""
        try:
            found = structure.flatten_up_to(x)
        except (ValueError, TypeError):
            return []
        return found if any(isinstance(part, optax.MaskedNode) for part in found) else []

    kept = [parts(x) for x in jax.tree.leaves(state.inner_state, is_leaf=lambda x: bool(parts(x)))]
    of_leaves = zip(*filter(None, kept), strict=True) if any(kept) else [()] * structure.num_leaves
    return [not found or not all(isinstance(x, optax.MaskedNode) for x in found) for found in of_leaves]


def _mask(params: Params, mine: list[bool]) -> Params:
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([x if keep else optax.MaskedNode() for x, keep in zip(leaves, mine, strict=True)])


def _answers(x: Any) -> bool:
    return hasattr(x, "route") or hasattr(x, "evaluation_params") or isinstance(x, optax.MaskedState)


def _first(*options: Any) -> Any:
    return next((x for x in options if x is not None), None)


def _outermost(state: Any, speaks: Callable[[Any], bool]) -> list[Any]:
    return [x for x in jax.tree.leaves(state, is_leaf=speaks) if speaks(x)]


def spread(answers: list[Any], mine: Any) -> list[Any]:
    """The answers for a part of the leaves (`mine`: one bool for each leaf), as answers for all leaves."""
    own = iter(answers)
    return [next(own) if keep else None for keep in mine]


def fill(answers: list[Any], params: Params) -> Params:
    """The parameters, each leaf replaced by its answer if there is one."""
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten(map(_first, answers, leaves))
