"""Leaves that are not trained, around an optimizer of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import optax

from gdjax import answers
from gdjax.calls import WithRate, as_optimizer, inner_state, is_number, optimizer, spread_rates
from gdjax.optimizers.wrappers.by_path import ByPath, by_path
from gdjax.optimizers.wrappers.parts import Labels, check_leaves, merge, part_of, spread_labels, update_part
from gdjax.optimizers.wrappers.two_forms import print_as, two_forms
from gdjax.tree import list_paths, paths_of
from gdjax.types import Transformation


class FreezeState(NamedTuple):
    trained: Labels  # one bool per leaf; part of the structure
    inner: Any

    @property
    def inner_state(self) -> Any:
        """Optax's name for it."""
        return self.inner

    def route(self, ask: Callable[..., Any], params: Any) -> list[Any]:
        trained = self.trained.value
        return answers.spread(ask(self.inner, part_of(params, trained)), trained)


@optimizer(static=("mask",))
@print_as("freeze")
def _freeze_mask(mask: Any):
    """Optax's transform of the name: 0 where the mask is true."""
    frozen = by_path(mask) if isinstance(mask, str) else mask

    def init(params):
        spread_labels("freeze", frozen, params)
        return optax.EmptyState()

    def update(grads, state, params=None, **extra_args):
        del extra_args
        flags = spread_labels("freeze", frozen, grads if params is None else params)
        return merge([(tuple(not flag for flag in flags), grads)], grads), state

    return init, update


@optimizer(static=("frozen",))
@print_as("freeze")
def _freeze_around(inner: Transformation, frozen: Any):
    """Leave some leaves as they are and train the others.

        u = u_inner on the trained leaves, 0 on the frozen ones

    Without an optimizer, `freeze(mask)` is Optax's transform: gradients are 0 where the mask is true, and what stands behind
    it in a chain sees these zeros. There the backward pass of the frozen leaves is computed if anything looks at all leaves,
    and a decay behind it moves them.

    XLA deletes the backward pass of the frozen ones, provided nothing else (say the norm of all gradients) asks for it.

    Args:
        inner: the optimizer of the trained leaves. It sees None for the others, in `grad` and `value_fn` too.
        frozen, mask: a regular expression to be found in the path, as in "layers.0.w"; `by_path(function)`; a tree of bools
            or a prefix of one; or params -> such a tree.

    Memory: 0 + inner, on the trained leaves only.   Raises: ValueError for a pattern that is found in no path, or in all.
    Reference: optax.freeze and optax.selective_transform.

    >>> opt, x = gd.freeze(gd.sgd(0.1), "b"), {"b": jnp.ones(1), "w": jnp.ones(2)}
    >>> print(opt.update({"b": jnp.ones(1), "w": jnp.array([1.0, -2.0])}, opt.init(x), x)[0])
    {'b': Array([0.], dtype=float32), 'w': Array([-0.1,  0.2], dtype=float32)}
    """
    inner = as_optimizer(inner)

    mask = by_path(frozen) if isinstance(frozen, str) else frozen

    def init(params):
        paths = paths_of(params)
        if isinstance(mask, ByPath):
            mask.check_use("freeze", paths)
        trained = tuple(not flag for flag in spread_labels("freeze", mask, params))
        if isinstance(mask, ByPath) and paths and not any(trained):
            raise ValueError(f"freeze: {mask!r} must leave one of the paths to train, got all: {list_paths(paths)}")
        return FreezeState(Labels(trained), inner.init(part_of(params, trained)))

    def update(grads, state, params=None, **extra_args):
        trained = state.trained.value
        check_leaves("freeze", grads, params, len(trained))
        updates, inner_state = update_part(inner, grads, state.inner, params, trained, extra_args)
        return merge([(trained, updates)], grads if params is None else params), FreezeState(state.trained, inner_state)

    def rate_at(state: Any, evaluation: Any) -> Any:
        rates = inner.learning_rates_at(inner_state(state), evaluation)
        if rates is None or is_number(state):
            return rates
        trained = state.trained.value
        return answers.spread(spread_rates(rates, sum(trained)), trained)

    return WithRate(init, update, rate_at)


freeze: Final = two_forms(_freeze_around, _freeze_mask)
