"""Optax's transformations as call nodes, with every number a leaf, and Optax's names for optimizers of gdjax.

Each is a factory of Optax, lifted by one line. A transformation for which gdjax has its own method, or in which Optax 0.2.8
has a defect, has its own file instead. Unlike Optax, updates and states keep the dtypes of the inputs; numbers that are
arrays would otherwise promote 16-bit updates and states to float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gdjax import tree
from gdjax.calls import Optimizer, WithRate, as_key, as_optimizer, is_number, optimizer
from gdjax.optimizers.lifting import lift, with_dtypes
from gdjax.optimizers.own_gradient import check_own_gradient
from gdjax.optimizers.transforms.add_noise import key_of
from gdjax.optimizers.wrappers.accumulate import of_several_batches
from gdjax.optimizers.wrappers.chain import check_parts, rate_of_parts, unit_factor
from gdjax.optimizers.wrappers.freeze import freeze
from gdjax.optimizers.wrappers.partition import partition
from gdjax.optimizers.wrappers.skip_non_finite import skip_non_finite
from gdjax.optimizers.wrappers.two_forms import print_as
from gdjax.types import ArrayLike, PRNGKey


def _at(number: Any, state: Any) -> Any:
    """A number, or a schedule at the count in the state of a `scale_by_schedule` (or at a step given as the state)."""
    if not callable(number):
        return number
    return number(state if is_number(state) else state.count)


def _minus_rate(state: Any, learning_rate: Any = None, flip_sign: bool = True) -> Any:
    rate = 1.0 if learning_rate is None else _at(learning_rate, state)
    return -rate if flip_sign else rate


@functools.wraps(contrib.scale_by_muon)
def _of_matrices(*args, weight_dimension_numbers=None, **kwargs):
    """As in Optax, but None, one specification or a prefix applies to all leaves below; a leaf without one is a matrix."""

    def of_leaf(path, leaf, numbers):
        if numbers is None and jnp.ndim(leaf) != 2:
            where = tree.leaf_name("params", path)
            raise ValueError(
                f"scale_by_muon: a leaf without weight_dimension_numbers must be a matrix, got {where} of shape "
                f"{jnp.shape(leaf)}; write masked(scale_by_muon(), mask), or muon(...), which gives the others to adamw"
            )
        return contrib.MuonDimensionNumbers() if numbers is None else numbers

    def of_tree(updates):
        given = weight_dimension_numbers(updates) if callable(weight_dimension_numbers) else weight_dimension_numbers
        below = lambda numbers, part: jax.tree.map(lambda _: [numbers], part)  # noqa: E731  (a leaf of its own)
        is_leaf = lambda x: x is None or isinstance(x, contrib.MuonDimensionNumbers)  # noqa: E731
        spread = jax.tree.map(below, given, updates, is_leaf=is_leaf)
        of_path = lambda path, leaf, numbers: of_leaf(path, leaf, numbers[0])  # noqa: E731
        return jax.tree_util.tree_map_with_path(of_path, updates, spread)

    return contrib.scale_by_muon(*args, weight_dimension_numbers=of_tree, **kwargs)


MATRICES = ("jnp.ones((2, 2))", "jnp.array([[3.0, 0.0], [0.0, 4.0]])")

# Parts of optimizers: directions.
ema: Final = lift(optax.ema, "0.9 -> [3. -4.]")
trace: Final = lift(optax.trace, "0.9 -> [3. -4.]")
scale_by_acprop: Final = lift(contrib.scale_by_acprop, " -> [3. -4.]")
scale_by_adadelta: Final = lift(optax.scale_by_adadelta, " -> [0.0031623 -0.0031623]")
scale_by_adam: Final = lift(optax.scale_by_adam, " -> [0.99999 -0.99999]")
scale_by_adamax: Final = lift(optax.scale_by_adamax, " -> [1. -1.]")
scale_by_adan: Final = lift(optax.scale_by_adan, " -> [1. -1.]")
scale_by_ademamix: Final = lift(contrib.scale_by_ademamix, " -> [1.0006 -1.0006]", schedules=("b3", "alpha"))
scale_by_adopt: Final = lift(contrib.scale_by_adopt, " -> [0. 0.]")
scale_by_amsgrad: Final = lift(optax.scale_by_amsgrad, " -> [0.99999 -0.99999]")
scale_by_belief: Final = lift(optax.scale_by_belief, " -> [1.1111 -1.1111]")
scale_by_cocob: Final = lift(contrib.scale_by_cocob, " -> [-0.01 0.01]")
scale_by_distance_over_gradients: Final = lift(
    optax.scale_by_distance_over_gradients, "reps_rel=0.1 -> [0.14485 -0.19314]"
)
scale_by_factored_rms: Final = lift(
    optax.scale_by_factored_rms, "factored=False -> [1. -1.]", static=("min_dim_size_to_factor", "decay_rate_fn")
)
scale_by_galore: Final = lift(
    contrib.scale_by_galore,
    "rank=1 -> [[0. 0.] [0. 0.99999]]",
    static=("rank", "update_proj_gap", "weight_dimension_numbers"),
    around=("base_optimizer",),
    at=MATRICES,
)
scale_by_lbfgs: Final = lift(optax.scale_by_lbfgs, " -> [0.6 -0.8]", static=("memory_size",))
scale_by_lion: Final = lift(optax.scale_by_lion, " -> [1. -1.]")
scale_by_madgrad: Final = lift(contrib.scale_by_madgrad, "0.1 -> [-0.031072 0.0342]", schedules=("learning_rate",))
scale_by_muon: Final = lift(
    _of_matrices,
    " -> [[0.72288 0.] [0. 1.1192]]",
    static=("ns_coeffs", "ns_steps", "preconditioning", "weight_dimension_numbers"),
    at=MATRICES,
)
scale_by_novograd: Final = lift(optax.scale_by_novograd, " -> [0.6 -0.8]")
scale_by_optimistic_gradient: Final = lift(optax.scale_by_optimistic_gradient, " -> [3. -4.]")
scale_by_polyak: Final = lift(optax.scale_by_polyak, " | value=5.0 -> [0.6 -0.8]", own_gradient=True)
scale_by_radam: Final = lift(optax.scale_by_radam, " -> [3. -4.]")
scale_by_rms: Final = lift(optax.scale_by_rms, " -> [3.1623 -3.1623]")
scale_by_rprop: Final = lift(optax.scale_by_rprop, "0.1 -> [0. 0.]")
scale_by_rss: Final = lift(optax.scale_by_rss, " -> [0.99449 -0.99689]")
scale_by_sign: Final = lift(optax.scale_by_sign, " -> [1. -1.]")
scale_by_simplified_ademamix: Final = lift(
    contrib.scale_by_simplified_ademamix, "alpha=1.0 -> [2. -2.]", schedules=("alpha",)
)
scale_by_sm3: Final = lift(optax.scale_by_sm3, " -> [0.1 -0.1]", static=("b2",))
scale_by_stddev: Final = lift(optax.scale_by_stddev, " -> [3.3333 -3.3333]")
scale_by_yogi: Final = lift(optax.scale_by_yogi, " -> [0.99961 -0.99971]")

# Lengths and signs.
apply_every: Final = lift(optax.apply_every, "k=1 -> [3. -4.]", ints=("k",))
identity: Final = lift(optax.identity, " -> [3. -4.]", factor=unit_factor)
normalize_by_update_norm: Final = lift(optax.normalize_by_update_norm, "scale_factor=10.0 -> [6. -8.]")
scale_by_backtracking_linesearch: Final = lift(
    optax.scale_by_backtracking_linesearch,
    "20 | value=5.0, grad=-g, value_fn=lambda x: x @ x -> [-3.2 -1.6]",
    static=("store_grad", "verbose"),
    ints=("max_backtracking_steps",),
    searches=True,
    at=("jnp.array([2.0, 1.0])", "jnp.array([-4.0, -2.0])"),
)
scale: Final = lift(optax.scale, "-0.1 -> [-0.3 0.4]", factor=lambda state, step_size: step_size)
scale_by_learning_rate: Final = lift(
    optax.scale_by_learning_rate, "0.1 -> [-0.3 0.4]", schedules=("learning_rate",), factor=_minus_rate
)
scale_by_schedule: Final = lift(
    optax.scale_by_schedule,
    "gd.schedules.linear(1.0, 0.0, 10) -> [3. -4.]",
    schedules=("step_size_fn",),
    factor=lambda state, step_size_fn: _at(step_size_fn, state),
)
scale_by_param_block_norm: Final = lift(optax.scale_by_param_block_norm, " -> [4.2426 -5.6569]")
scale_by_param_block_rms: Final = lift(optax.scale_by_param_block_rms, " -> [3. -4.]")
scale_by_trust_ratio: Final = lift(optax.scale_by_trust_ratio, " -> [0.84853 -1.1314]")
scale_by_zoom_linesearch: Final = lift(
    optax.scale_by_zoom_linesearch,
    "20 | value=5.0, grad=-g, value_fn=lambda x: x @ x -> [-2. -1.]",
    static=("max_linesearch_steps", "initial_guess_strategy", "verbose"),
    searches=True,
    at=("jnp.array([2.0, 1.0])", "jnp.array([-4.0, -2.0])"),
)
set_to_zero: Final = lift(optax.set_to_zero, " -> [0. 0.]")
zero_nans: Final = lift(optax.zero_nans, " -> [0. -4.]", at=("jnp.ones(2)", "jnp.array([jnp.nan, -4.0])"))

# Transforms that read the parameters.
add_decayed_weights: Final = lift(
    optax.add_decayed_weights, "0.1 -> [3.1 -3.9]", static=("mask",), schedules=("weight_decay",)
)
keep_params_nonnegative: Final = lift(optax.keep_params_nonnegative, " -> [3. -1.]")

# Transforms by any function, and of per-example gradients.
monitor: Final = lift(optax.monitor, '{"norm": jnp.linalg.norm} -> [3. -4.]', static=("measures",), factor=unit_factor)
snapshot: Final = lift(
    optax.snapshot, '"norm", jnp.linalg.norm -> [3. -4.]', static=("measure_name", "measure"), factor=unit_factor
)
stateless: Final = lift(optax.stateless, "lambda g, x: jax.tree.map(jnp.sign, g) -> [1. -1.]", static=("f",))
stateless_with_tree_map: Final = lift(optax.stateless_with_tree_map, "lambda g, x: g + x -> [4. -3.]", static=("f",))

# Wrappers.
conditionally_mask: Final = lift(
    optax.conditionally_mask,
    "gd.scale(-0.1), lambda step: step > 0 -> [0. 0.]",
    static=("should_transform_fn",),
    around=("inner",),
)
conditionally_transform: Final = lift(
    optax.conditionally_transform,
    "gd.scale(-0.1), lambda step: step > 0 -> [3. -4.]",
    static=("should_transform_fn",),
    around=("inner",),
)
flatten: Final = lift(optax.flatten, "gd.normalize() -> [0.6 -0.8]", around=("inner",), bare=True)
masked: Final = lift(optax.masked, "gd.scale(-0.1), mask=False -> [3. -4.]", static=("mask",), around=("inner",))
split_real_and_imaginary: Final = lift(
    contrib.split_real_and_imaginary,
    "gd.scale(-0.1) -> [-0.3-0.1j 0.4+0.j]",
    around=("inner",),
    at=("jnp.ones(2, complex)", "jnp.array([3.0 + 1.0j, -4.0])"),
)


# Transforms with random keys.


@optimizer(keys=("key", "seed"))
def differentially_private_aggregate(
    l2_norm_clip: ArrayLike, noise_multiplier: ArrayLike, key: PRNGKey | None = None, *, seed: PRNGKey | None = None
):
    """The mean of per-example gradients, each clipped, with noise: `optax.contrib.differentially_private_aggregate`.

    Args:
        l2_norm_clip: > 0, the largest norm of an example's gradient.
        noise_multiplier: >= 0, standard deviation of the noise over the clipping norm.
        key: a random key or a seed (default: 0).
        seed: Optax's older name for key.

    >>> opt, x, g = gd.differentially_private_aggregate(1.0, 0.0), jnp.ones(2), jnp.array([[3.0, -4.0], [0.3, 0.4]])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.45 -0.2]
    """
    given = as_key(key_of("differentially_private_aggregate", key, seed))
    return with_dtypes(contrib.differentially_private_aggregate(l2_norm_clip, noise_multiplier, key=given))


@optimizer(keys=("random_seed",))
def hutchinson_estimator_diag_hessian(random_seed: PRNGKey | None = None):
    """Hutchinson's estimate of the diagonal of the Hessian: `optax.contrib.hutchinson_estimator_diag_hessian`.

    Args:
        random_seed: a random key or a seed (default: 0).

    >>> f, estimate, x = lambda x: x[0] ** 2 + 5 * x[1] ** 2, gd.hutchinson_estimator_diag_hessian(), jnp.ones(2)
    >>> print(estimate.update(jax.grad(f)(x), estimate.init(x), x, obj_fn=f)[0])
    [2. 10.]
    """
    return with_dtypes(contrib.hutchinson_estimator_diag_hessian(as_key(0 if random_seed is None else random_seed)))


# Other names for optimizers of gdjax.


@optimizer
def named_chain(*args):
    """One after the other, each with a name, under which its state is found.

    Args:
        args: pairs (name, optimizer or transform); the rest as `chain`.

    Memory: the sum of its parts.   Raises: ValueError for a name that is there twice.
    Reference: optax.named_chain.

    >>> opt, x, g = gd.named_chain(("clip", gd.clip(1.0)), ("descend", gd.sgd(0.1))), jnp.ones(2), jnp.array([0.5, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.05 0.1]
    """
    parts = {name: as_optimizer(part) for name, part in args}
    check_parts("named_chain", list(parts.values()))
    init, update = optax.named_chain(*((name, as_optimizer(part)) for name, part in args))

    def rate_at(state: Any, evaluation: Any) -> Any:
        states = [state if is_number(state) else state[name] for name in parts]
        return rate_of_parts(list(parts.values()), states, evaluation)

    return WithRate(init, update, rate_at)


def apply_if_finite(inner: Any, max_consecutive_errors: int) -> Optimizer:
    """Optax's name for `skip_non_finite(inner, max_consecutive_errors)`.

    >>> opt, x, g = gd.apply_if_finite(gd.sgd(0.1), 5), jnp.ones(2), jnp.array([jnp.nan, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0. 0.]
    """
    return skip_non_finite(inner, max_consecutive_errors)


def selective_transform(optimizer: Any, *, freeze_mask: Any) -> Optimizer:
    """Optax's name for `freeze(optimizer, freeze_mask)`.

    >>> opt, x = gd.selective_transform(gd.sgd(0.1), freeze_mask=(True, False)), (jnp.ones(1), jnp.ones(1))
    >>> print(opt.update(x, opt.init(x), x)[0])
    (Array([0.], dtype=float32), Array([-0.1], dtype=float32))
    """
    return freeze(optimizer, freeze_mask)


def multi_transform(transforms: Any, param_labels: Any, *, mask_compatible_extra_args: bool = False) -> Optimizer:
    """Optax's older name for `partition`.

    >>> opt, x = gd.multi_transform({"slow": gd.sgd(0.1), "fast": gd.sgd(1.0)}, ("slow", "fast")), (jnp.ones(1), jnp.ones(1))
    >>> print(opt.update((jnp.ones(1), jnp.ones(1)), opt.init(x), x)[0])
    (Array([-0.1], dtype=float32), Array([-1.], dtype=float32))
    """
    return partition(transforms, param_labels, mask_compatible_extra_args=mask_compatible_extra_args)


@optimizer(static=("should_skip_update_fn", "accumulator_dtype"), ints=("every_k_schedule",))
@print_as("MultiSteps")
def _multi_steps(
    opt, every_k_schedule: int, use_grad_mean=True, should_skip_update_fn=None, accumulator_dtype: Any = jnp.float32
):
    """Accumulation of gradients by `optax.MultiSteps`.

    Args:
        opt: the optimizer that takes the means.
        every_k_schedule: gradients per mean, at least 1; number, or schedule of the updates made.
        use_grad_mean: False takes sums.
        should_skip_update_fn: which gradients are left out, as `skip_not_finite`.
        accumulator_dtype: of the mean.
    """
    check_own_gradient("MultiSteps", as_optimizer(opt), "the mean of several batches")
    every = every_k_schedule if callable(every_k_schedule) else lambda step: every_k_schedule
    steps = optax.MultiSteps(as_optimizer(opt), every, use_grad_mean, should_skip_update_fn, accumulator_dtype)
    init, update = with_dtypes(steps.gradient_transformation(), widens=False)
    return init, of_several_batches(update, every_k_schedule)


class MultiSteps:
    """Optax's gradient accumulation, accepted wherever an optimizer is; see also `accumulate`.

    Args: as `optax.MultiSteps`.
    """

    init: Callable[..., Any]
    update: Callable[..., Any]

    def __init__(
        self,
        opt: Any,
        every_k_schedule: int | Callable[[Any], Any],
        use_grad_mean: bool = True,
        should_skip_update_fn: Callable[..., Any] | None = None,
        accumulator_dtype: Any = jnp.float32,
    ):
        self._node = _multi_steps(opt, every_k_schedule, use_grad_mean, should_skip_update_fn, accumulator_dtype)
        self.init, self.update = self._node

    def has_updated(self, state: Any) -> jax.Array:
        """Whether the last gradient made an update."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> Optimizer:
        return self._node
