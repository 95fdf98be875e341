"""Orthogonalized momentum for matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gdjax.calls import WithRate, is_number, optimizer, rate_of
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.optimizers.newton_schulz import COEFFICIENTS, PRECONDITIONINGS, newton_schulz
from gdjax.optimizers.wrappers.partition import partition
from gdjax.types import DTypeLike, ScalarOrSchedule

PRESETS: dict[str, Any] = {
    "standard": COEFFICIENTS,
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
}


class DimensionNumbers(NamedTuple):
    """Which axes of a leaf are the rows of its matrix and which the columns; the rest are a batch of matrices."""

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


def _axes(p: Array, dims: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(batch, rows, columns) of a leaf, as axes."""

    def as_tuple(axis):
        return tuple(a % p.ndim for a in ((axis,) if isinstance(axis, int) else axis))

    rows, columns = as_tuple(dims.reduction_axis), as_tuple(dims.output_axis)
    if set(rows) & set(columns):
        raise ValueError(f"dimension numbers must name different axes as rows and columns, got {dims}")
    return tuple(i for i in range(p.ndim) if i not in rows + columns), rows, columns


def as_matrices(p: Array, dims: Any) -> tuple[Array, Callable[[Array], Array]]:
    """(batch, rows, columns), and the way back."""
    batch, rows, columns = _axes(p, dims)
    order = batch + rows + columns
    sizes = [math.prod(p.shape[i] for i in axes) for axes in (batch, rows, columns)]
    turned = p.transpose(order)
    back = tuple(sorted(range(p.ndim), key=lambda i: order[i]))
    return turned.reshape(sizes), lambda x: x.reshape(turned.shape).transpose(back)


def _dimension_numbers_of_all(given: Any) -> list[Any]:
    """Those that some leaf may have; of a function of the parameters nothing is known."""
    if given is None or callable(given):
        return [DimensionNumbers()]
    is_dims = lambda x: x is None or hasattr(x, "reduction_axis")  # noqa: E731
    return [dims for dims in jax.tree.leaves(given, is_leaf=is_dims) if dims is not None]


def dimension_numbers(given: Any, params: Any) -> Any:
    """One DimensionNumbers, or None, per leaf: from None (all matrices), one for all, a tree, or a function of params."""
    given = given(params) if callable(given) else given
    is_dims = lambda x: x is None or hasattr(x, "reduction_axis")  # noqa: E731
    if given is None:
        return [DimensionNumbers() if p.ndim == 2 else None for p in jax.tree.leaves(params)]
    if is_dims(given):
        return [given if p.ndim >= 2 else None for p in jax.tree.leaves(params)]
    if not jax.tree.leaves(params):
        return []
    branches = jax.tree.leaves(given, is_leaf=is_dims)
    parts = jax.tree.structure(given, is_leaf=is_dims).flatten_up_to(params)
    return [dims for dims, part in zip(branches, parts, strict=True) for _ in jax.tree.leaves(part)]


@optimizer(
    static=(
        "ns_coeffs",
        "ns_steps",
        "weight_decay_mask",
        "mu_dtype",
        "nesterov",
        "adaptive",
        "preconditioning",
        "muon_weight_dimension_numbers",
    ),
    bounds={
        "learning_rate": "[0, inf)",
        "beta": "[0, 1)",
        "eps": "[0, inf)",
        "weight_decay": "[0, inf)",
        "adam_b1": "[0, 1)",
        "adam_b2": "[0, 1)",
    },
    ints=("ns_steps",),
    constant=("ns_steps",),
)
def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Any = COEFFICIENTS,
    ns_steps: Any = 5,
    beta: ScalarOrSchedule = 0.95,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning="frobenius",
    adam_b1: ScalarOrSchedule = 0.9,
    adam_b2: ScalarOrSchedule = 0.999,
    adam_eps_root: ScalarOrSchedule = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate=None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms=None,
):
    """Muon: the momentum of a matrix made orthogonal, so that all its directions move alike; AdamW for the rest.

        mu <- beta mu + (1 - beta) g,     m = mu_hat as `adam`, or as `nadam` with nesterov
        O = newton_schulz(m), about U V^T of m = U S V^T
        u = -learning_rate (sqrt(max(1, columns/rows)) O + weight_decay p)

    Args:
        learning_rate: length of the step in the spectral norm; number, array or schedule.
        ns_coeffs: of the Newton-Schulz polynomial, (a, b, c) or one row for each step, or "standard" or "dion".
        ns_steps: its repetitions.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        eps: >= 0, added to the norm that divides m; also Adam's.
        weight_decay: >= 0, decoupled decay of the matrices, per step and unit of learning rate.
        weight_decay_mask: which of them decay: a tree of bools (or a prefix of one), or params -> such a tree.
        mu_dtype: dtype of the first moments (default: that of the parameter).
        nesterov: look one step ahead.
        adaptive: also multiply by <m, O>, the dual norm of m.
        preconditioning: "frobenius", "spectral", "aol" or "schatten", see `newton_schulz`.
        adam_b1, adam_b2, adam_eps_root, adam_weight_decay, adam_learning_rate: AdamW's, for what is no matrix; the rate is
            learning_rate if None.
        muon_weight_dimension_numbers: which leaves are matrices, and how: None (those of two axes), `DimensionNumbers` for
            all, a tree of them with None for AdamW's leaves, or params -> such a tree.
        consistent_rms: instead of sqrt(max(1, columns/rows)) multiply by sqrt(max(rows, columns)) times this.

    Memory: 1 x matrices + 2 x the rest.   Raises: ValueError outside these ranges.
    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Bernstein & Newhouse 2024, arXiv:2409.20325.

    >>> opt, x, g = gd.muon(0.1), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0.072288 -0.]
     [-0. -0.11192]]
    """
    if preconditioning not in PRECONDITIONINGS:
        raise ValueError(f"muon: preconditioning must be one of {', '.join(PRECONDITIONINGS)}, got {preconditioning!r}")
    coefficients = PRESETS.get(ns_coeffs) if isinstance(ns_coeffs, str) else ns_coeffs
    if coefficients is None:
        raise ValueError(f"muon: ns_coeffs must be numbers or one of {', '.join(PRESETS)}, got {ns_coeffs!r}")
    static = {"ns_coeffs": _hashable(coefficients), "ns_steps": ns_steps, "preconditioning": preconditioning}
    flags = {"nesterov": nesterov, "adaptive": adaptive}
    rms = {} if consistent_rms is None else {"consistent_rms": consistent_rms}

    def of_matrices(dims):
        return as_pair(
            muon_rule,
            learning_rate,
            slots={"mu": Slot(dtype=mu_dtype)},
            mask=weight_decay_mask,
            static={**static, "dims": dims},
            weight_decay=weight_decay,
            beta=beta,
            eps=eps,
            **flags,
            **rms,
        )

    adam_rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    rest = adamw(adam_rate, adam_b1, adam_b2, eps, adam_eps_root, mu_dtype, adam_weight_decay, nesterov=nesterov)
    return beside_adamw(of_matrices, learning_rate, rest, adam_rate, muon_weight_dimension_numbers)


def beside_adamw(
    of_matrices: Callable[[Any], Any], learning_rate: Any, rest: Any, adam_rate: Any, dimension_numbers_given: Any
) -> WithRate:
    """The pair that `of_matrices(dims)` gives for the leaves that are matrices, and `rest` for all others."""

    def parts(params):
        chosen = dimension_numbers(dimension_numbers_given, params)
        kinds = {repr(dims): dims for dims in chosen if dims is not None}
        if not kinds:  # of a tree without matrices, or without leaves (`optax.tree.map_params`): those there may be
            kinds = {repr(dims): dims for dims in _dimension_numbers_of_all(dimension_numbers_given)}
        names = {text: "muon" if len(kinds) == 1 else f"muon {text}" for text in kinds}
        labels = jax.tree.unflatten(
            jax.tree.structure(params), ["adam" if dims is None else names[repr(dims)] for dims in chosen]
        )
        of_kind = {names[text]: of_matrices(dims) for text, dims in kinds.items()}
        return partition({**of_kind, "adam": rest}, param_labels=labels).build()

    def update(grads, state, params=None, **extra_args):
        return parts(grads if params is None else params)[1](grads, state, params, **extra_args)

    def rate_at(state, evaluation):
        names = ("muon", "adam") if is_number(state) else state.labels.value
        own = {name: state if is_number(state) else state.inner_states[name] for name in names}
        rates = {name: rate_of(adam_rate if name == "adam" else learning_rate, own[name]) for name in own}
        return [rates[name] for name in names]

    return WithRate(lambda params: parts(params)[0](params), update, rate_at)


def as_pair(rule: Callable[..., Any], learning_rate: Any, **options: Any) -> optax.GradientTransformationExtraArgs:
    """The lift of a rule where an optimizer is wanted."""
    return optax.GradientTransformationExtraArgs(*leafwise(rule, learning_rate, **options))


def _hashable(coefficients: Any) -> tuple[Any, ...]:
    return tuple(_hashable(x) if isinstance(x, (tuple, list)) else float(x) for x in coefficients)


def muon_rule(
    g: Array,
    t: Array,
    mu: Array,
    *,
    beta: Array,
    eps: Array,
    nesterov: bool,
    adaptive: bool,
    ns_coeffs: Any,
    ns_steps: int,
    preconditioning: str,
    dims: Any,
    consistent_rms: bool | None = None,
) -> Direction:
    mu = beta * mu + (1 - beta) * g
    m = mu / (1 - beta**t)
    if nesterov:
        m = beta * mu / (1 - beta ** (t + 1)) + (1 - beta) * g / (1 - beta**t)
    matrices, back = as_matrices(m, dims)
    if matrices.size == 0:
        return m, {"mu": mu}

    def orthogonal(x):
        return newton_schulz(x, ns_coeffs, ns_steps, eps, preconditioning)

    number, rows, columns = matrices.shape
    O = orthogonal(matrices[0])[None] if number == 1 else jax.vmap(orthogonal)(matrices)
    O = back(O)
    if adaptive:
        O = jnp.sum(jnp.conj(m) * O) * O
    scale = (
        math.sqrt(max(1, columns / rows)) if consistent_rms is None else math.sqrt(max(rows, columns)) * consistent_rms
    )
    return scale * O, {"mu": mu}
