"""The references of each wrapper besides its oracle: Optax's equivalent, if there is one; and the limits.

Each table is described in `gdjax.certify.oracles.wrappers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import optax
from optax import contrib

from gdjax.calls import Optimizer, as_optimizer
from gdjax.certify.oracles.reasons import NO_INFINITY
from gdjax.certify.oracles.wrappers import gather
from gdjax.certify.suite import SHAPES

LEFT_OUT: dict[str, tuple[tuple[str, ...], str]] = gather("LEFT_OUT")
SHORT: dict[str, tuple[int, str]] = gather("SHORT")
UNJUDGED: dict[str, str] = gather("UNJUDGED")
LIMITS: dict[str, tuple[float, str]] = gather("LIMITS")
# All are compared in the parameters, in what is evaluated and in the counters of their states; others in updates too.
BY_PARAMETERS: dict[str, str] = gather("BY_PARAMETERS")


def exclusions(name: str, reference: str, dtype: str) -> tuple[tuple[str, ...], str]:
    """The cases that are not compared, and the reason."""
    cases, why = next(
        (LEFT_OUT[k] for k in (f"{name}: {dtype}", f"{name}: {reference}", name) if k in LEFT_OUT), ((), "")
    )
    if dtype.startswith("complex") and "non_finite" not in cases:
        return (*cases, "non_finite"), "; ".join(filter(None, (why, NO_INFINITY)))
    return cases, why


class Beside(NamedTuple):
    """A state of Optax, and the parameters to evaluate."""

    state: Any
    evaluated: Any

    def evaluation_params(self, params: Any) -> Any:
        return params if self.evaluated is None else self.evaluated


def optax_twin(ours: Optimizer) -> Any:
    """Optax's wrapper around the same inner optimizer; None if it has none."""
    make = TWINS.get(ours.recipe.name)
    return None if make is None else make(**ours.arguments)


def _pair(init: Any, update: Any) -> Any:
    return optax.GradientTransformationExtraArgs(init, update)


def _adaptive(clipping: Any, eps: Any, axis: Any) -> Any:
    return optax.adaptive_grad_clip(clipping, eps) if axis is None else None


def _noisy(eta: Any, gamma: Any, key: Any, seed: Any) -> Any:
    return optax.add_noise(eta, gamma, key=key)


def _skipping(inner: Any, max_consecutive: Any) -> Any:
    return None if max_consecutive is None else optax.apply_if_finite(inner, max_consecutive)


def _accumulate(inner: Any, every: Any) -> Any:
    return None if callable(every) else optax.MultiSteps(inner, int(every)).gradient_transformation()


def _average(inner: Any, decay: Any, debias: bool) -> Any:
    if callable(decay) or not debias:
        return None
    inner, ema = as_optimizer(inner), optax.ema(decay)

    def init(params):
        return Beside((inner.init(params), ema.init(params)), params)

    def update(grads, state, params: Any = None, **extra_args):
        updates, new = inner.update(grads, state.state[0], params, **extra_args)
        evaluated, averages = ema.update(optax.apply_updates(params, updates), state.state[1])
        return updates, Beside((new, averages), evaluated)

    return _pair(init, update)


def _lookahead(fast_optimizer: Any, sync_period: Any, slow_step_size: Any, reset_state: bool) -> Any:
    theirs = optax.lookahead(fast_optimizer, sync_period, slow_step_size, reset_state)

    def init(params):
        return Beside(theirs.init(optax.LookaheadParams(params, params)), params)

    def update(grads, state, params: Any = None, **extra_args):
        pair = optax.LookaheadParams(params, state.evaluated)
        updates, new = theirs.update(grads, state.state, pair)
        updates = cast(optax.LookaheadParams, updates)
        return updates.fast, Beside(new, optax.apply_updates(state.evaluated, updates.slow))

    return _pair(init, update)


def _schedule_free(base_optimizer: Any, learning_rate: Any, b1: Any, weight_lr_power: Any, state_dtype: Any) -> Any:
    if callable(learning_rate):
        return None  # Optax never reads schedule(0) for the weights
    theirs = contrib.schedule_free(base_optimizer, learning_rate, b1, weight_lr_power)

    def init(params):
        return Beside(theirs.init(params), params)

    def update(grads, state, params: Any = None, **extra_args):
        updates, new = theirs.update(grads, state.state, params)
        after = optax.apply_updates(params, updates)
        return updates, Beside(new, contrib.schedule_free_eval_params(new, after))

    return _pair(init, update)


def _freeze(inner: Any, frozen: str) -> Any:
    if inner.recipe.name != "sgd":
        return None
    mask = {name: bool(re.search(frozen, name)) for name in SHAPES}
    return optax.chain(optax.masked(inner, {name: not flag for name, flag in mask.items()}), optax.freeze(mask))


def _decay_weights(inner: Any, weight_decay: Any, mask: Any) -> Any:
    """Decoupled decay added to the updates, for a constant learning rate."""
    if callable(weight_decay):
        return None
    share, inner = -inner.arguments["learning_rate"] * weight_decay, as_optimizer(inner)

    def update(grads, state, params: Any = None, **extra_args):
        updates, state = inner.update(grads, state, params, **extra_args)
        return optax.add_decayed_weights(share, mask).update(updates, optax.EmptyState(), params)[0], state

    return _pair(inner.init, update)


TWINS: dict[str, Callable[..., Any]] = {
    "chain": lambda args: optax.chain(*args),
    "clip": optax.clip,
    "clip_by_global_norm": optax.clip_by_global_norm,
    "clip_by_block_rms": optax.clip_by_block_rms,
    "adaptive_grad_clip": _adaptive,
    "add_noise": _noisy,
    "centralize": lambda axis: optax.centralize() if axis is None else None,
    "normalize": contrib.normalize,
    "decay_weights": _decay_weights,
    "skip_non_finite": _skipping,
    "accumulate": _accumulate,
    "average": _average,
    "lookahead": _lookahead,
    "schedule_free": _schedule_free,
    "mechanize": lambda base_optimizer, weight_decay, eps, s_init, num_betas: contrib.mechanize(
        base_optimizer, weight_decay, eps, s_init, int(num_betas)
    ),
    "freeze": _freeze,
}
