"""The residual connection: a model that learns what to add to its input."""

from __future__ import annotations

from gdjax.calls import Model, model, of_parts, with_state
from gdjax.models.padding import unpad
from gdjax.types import Padded


@model
def residual(inner: Model):
    """A model around which its input is led, and added to its output.

        y = x + f(x)            x (...) -> y (...);   params and state those of f

    So gradients reach what comes before undiminished, however deep f is. With `serial(layer_norm(n), ..., dense(m, n))` as
    f this is a block with normalization first, as transformers have it.

    Args:
        inner: f, a model whose output has the shape of its input.

    Raises: TypeError if inner is not a model; ValueError if its output has another shape.
    Reference: He et al. 2015, arXiv:1512.03385.

    >>> model = gd.models.residual(gd.models.activation("relu"))
    >>> print(model.apply((), jnp.array([-1.0, 2.0])))
    [-1. 4.]
    """
    if not isinstance(inner, Model):
        raise TypeError(f"residual: inner must be a model, got {inner!r} (for a function: activation)")
    built = inner.build()
    init, function, init_state = with_state(built)

    def apply(params, state, x, key=None, weight=None):
        y, state = function(params, state, x, key, weight)
        (before, mask), (added, _) = unpad("residual", x), unpad("residual", y)
        if added.shape != before.shape:
            raise ValueError(f"residual: inner must keep the shape of x, {before.shape}, got {added.shape}")
        return before + added if mask is None else Padded(before + added, mask), state

    return of_parts([built], init, apply, init_state)
