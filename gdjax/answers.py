"""What the state of an optimizer answers, however deep in it the part lies that knows: the protocols of `gdjax.types`.

updated             whether the last call made an update (`Updating`)
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
    """Whether the last call made an update: True, or a () bool that is false where it waited or skipped.

    All parts that can wait must have made theirs; those of a `partition` each speak for their leaves, and one is enough.
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


def if_updated(made: Any, new: Any, old: Any) -> Any:
    """new where an update was made, else old (a tree alike, or a number)."""
    if made is True:
        return new
    if jax.tree.structure(old) != jax.tree.structure(new):
        old = jax.tree.map(lambda _: old, new)
    return tree.select(made, new, tree.cast_like(old, new))


def evaluation_params(state: Any, params: Params) -> Params:
    """The parameters to evaluate: for each leaf the answer of one node, from the parameters walked.

    It is the outermost average of the iterates; where there is none, the outermost node that answers at all (slow weights,
    say); else the leaf itself. Answers are not chained.
    """
    leaves, structure = jax.tree.flatten(params)
    averages, others = (ask(state, params, averages=kind) for kind in (True, False))
    return structure.unflatten(map(_first, averages, others, leaves))


def ask(state: Any, params: Params, averages: bool) -> list[Any]:
    """For each leaf of params the answer of the outermost node of a kind, None where there is none."""
    answers: list[Any] = [None] * len(jax.tree.leaves(params))
    for node in _outermost(state, _answers):
        if isinstance(node, optax.MaskedState):
            mine = _masked_in(node, params)
            said = spread(ask(node.inner_state, _mask(params, mine), averages), mine)
        elif hasattr(node, "route"):
            said = node.route(functools.partial(ask, averages=averages), params)
        elif getattr(node, "is_average", False) == averages:
            said = jax.tree.leaves(node.evaluation_params(params))
        else:  # ask below it
            said = ask(jax.tree.leaves(node, is_leaf=lambda x, node=node: x is not node), params, averages)
        answers = list(map(_first, answers, said))
    return answers


def _masked_in(state: optax.MaskedState, params: Params) -> list[bool]:
    """For each leaf of params whether an optimizer inside `optax.masked` has it, as what its state keeps of them says."""
    structure = jax.tree.structure(params)

    def parts(x: Any) -> list[Any]:
        """What x has in the places of the leaves; nothing if it is no tree like params, or none is masked there."""
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
    """Answers for the leaves that are mine, as answers for all leaves."""
    own = iter(answers)
    return [next(own) if keep else None for keep in mine]


def fill(answers: list[Any], params: Params) -> Params:
    """The parameters with the answers in the place of their leaves where there is one."""
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten(map(_first, answers, leaves))
