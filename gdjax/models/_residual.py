"""The residual connection: a model that learns what to add to its input."""

from __future__ import annotations

import jax.numpy as jnp

from gdjax.calls import Model, model, of_parts, with_state


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
        x = jnp.asarray(x)
        y, state = function(params, state, x, key, weight)
        if y.shape != x.shape:
            raise ValueError(f"residual: inner must keep the shape of x, {x.shape}, got {y.shape}")
        return x + y, state

    return of_parts([built], init, apply, init_state)
