"""Factored second moments: one number per row and column of a matrix in place of one per entry."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import DTypeLike, ScalarOrSchedule


@optimizer(
    static=("min_dim_size_to_factor", "multiply_by_parameter_scale", "dtype_momentum", "factored", "weight_decay_mask"),
    bounds={
        "learning_rate": "[0, inf)",
        "decay_rate": "[0, inf)",
        "clipping_threshold": "(0, inf) or None",
        "momentum": "[0, 1)",
        "weight_decay_rate": "[0, inf)",
        "eps": "[0, inf)",
    },
    ints=("decay_offset",),
)
def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: Any = 128,
    decay_rate: ScalarOrSchedule = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: ScalarOrSchedule | None = 1.0,
    momentum: ScalarOrSchedule | None = None,
    dtype_momentum: DTypeLike = jnp.float32,
    weight_decay_rate: ScalarOrSchedule | None = None,
    eps: ScalarOrSchedule = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
):
    """Adafactor: the second moment of a matrix as the product of its rows' and its columns', steps relative to the leaf.

        beta = 1 - (t - decay_offset)^(-decay_rate)
        v_row <- beta v_row + (1 - beta) mean over columns of (g² + eps),      v_col the same over rows
        d = g / sqrt(v_row v_col / mean(v_row)),     or  v <- beta v + (1 - beta) (g² + eps),  d = g / sqrt(v)
        d <- d / max(1, rms(d)/clipping_threshold),  u = -learning_rate max(rms(p), 1e-3) d - weight_decay_rate p

    Args:
        learning_rate: relative to the leaf's root mean square; number, array or schedule (default: 1).
        min_dim_size_to_factor: the second largest axis must be as long for a leaf to be factored.
        decay_rate: how fast the memory grows.
        decay_offset: steps after which the memory starts again, for fine-tuning.
        multiply_by_parameter_scale: False makes the rate absolute.
        clipping_threshold: the largest root mean square of d; None does not clip.
        momentum: in [0, 1), of an average of the steps; None keeps none.
        dtype_momentum: of that average.
        weight_decay_rate: >= 0, per step, not multiplied by the rate (default: none).
        eps: >= 0, gradient units squared.
        factored: False keeps the whole second moment.
        weight_decay_mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: rows + columns of each matrix (1 x params where not factored, +1 momentum).
    Raises: ValueError outside these ranges.
    Differs from: Optax, which gives NaN for decay_offset > 0; here the memory starts again after that many steps.
    Reference: Shazeer & Stern 2018, Algorithms 4 and 5, arXiv:1804.04235.

    >>> opt, x, g = gd.adafactor(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """

    def axes(p):
        return _factored_axes(p.shape, min_dim_size_to_factor) if factored else None

    def without(number):
        def zeros(p):
            chosen = axes(p)
            return jnp.zeros((1,) if chosen is None else np.delete(p.shape, chosen[number]))

        return zeros

    slots: dict[str, Any] = {
        "v_row": Slot(without(1), real=True),
        "v_col": Slot(without(0), real=True),
        "v": Slot(lambda p: jnp.zeros_like(p.real) if axes(p) is None else jnp.zeros((1,)), real=True),
    }
    options: dict[str, Any] = {"decay_rate": decay_rate, "decay_offset": decay_offset, "eps": eps}
    given = {"clipping_threshold": clipping_threshold, "momentum": momentum, "weight_decay_rate": weight_decay_rate}
    options |= {name: value for name, value in given.items() if value is not None}
    slots |= {} if momentum is None else {"ema": Slot(dtype=dtype_momentum)}
    return leafwise(
        adafactor_rule,
        learning_rate,
        slots=slots,
        returns="step",
        masks={"weight_decay_rate": weight_decay_mask},
        static={"least": min_dim_size_to_factor if factored else None},
        multiply_by_parameter_scale=multiply_by_parameter_scale,
        **options,
    )


def _factored_axes(shape: tuple[int, ...], least: int) -> tuple[int, int] | None:
    """The second longest and the longest axis, if they are long enough to be worth it."""
    order = np.argsort(shape)
    return None if len(shape) < 2 or shape[order[-2]] < least else (int(order[-2]), int(order[-1]))


def adafactor_rule(
    g: Array,
    p: Array,
    t: Array,
    v_row: Array,
    v_col: Array,
    v: Array,
    ema: Array | None = None,
    *,
    learning_rate: Array,
    decay_rate: Array,
    decay_offset: Array,
    eps: Array,
    least: int,
    multiply_by_parameter_scale: bool,
    clipping_threshold: Array | None = None,
    momentum: Any = None,
    weight_decay_rate: Array | None = None,
) -> Direction:
    beta = 1 - jnp.maximum(t - decay_offset, 1) ** -decay_rate
    squares, axes = abs_sq(g) + eps, None if least is None else _factored_axes(g.shape, least)
    if axes is None:
        v = beta * v + (1 - beta) * squares
        d = g * _inverse_root(v)
    else:
        small, large = axes
        v_row = beta * v_row + (1 - beta) * jnp.mean(squares, axis=large)
        v_col = beta * v_col + (1 - beta) * jnp.mean(squares, axis=small)
        mean = jnp.mean(v_row, axis=small - (small > large), keepdims=True)
        rows = _inverse_root(v_row / jnp.where(mean > 0, mean, 1))
        d = g * jnp.expand_dims(rows, large) * jnp.expand_dims(_inverse_root(v_col), small)
    if clipping_threshold is not None:
        d = d / jnp.maximum(1, _rms(d) / clipping_threshold)
    step = learning_rate * d
    if multiply_by_parameter_scale:
        step = step * jnp.maximum(_rms(p), 1e-3)
    new = {"v_row": v_row, "v_col": v_col, "v": v}
    if ema is not None:
        step = new["ema"] = momentum * ema + (1 - momentum) * step
    return (step if weight_decay_rate is None else step + weight_decay_rate * p), new


def _inverse_root(x):
    return jnp.where(x > 0, jnp.where(x > 0, x, 1) ** -0.5, 0)


def _rms(x):
    return tree.global_norm(x) / max(x.size, 1) ** 0.5
