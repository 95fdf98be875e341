"""Recurrent layers: a state that is carried from position to position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models._embedding import check_sequence
from gdjax.models.initializers import Init, Initializer, Parameter, by_part, lecun_normal, orthogonal, zeros
from gdjax.models.layers import check_size
from gdjax.models.padding import layer_of_sequences


@model(static=("in_size", "hidden"))
def gru_layer(in_size: int, hidden: int, weights: Initializer | None = None, recurrent: Initializer | None = None):
    """A layer of gated recurrent units.

        r, z = sigmoid(x_t w_rz + b_rz + h_{t-1} u_rz)
        n = tanh(x_t w_n + b_n + r (h_{t-1} u_n + c))
        h_t = (1 - z) n + z h_{t-1},   h_0 = 0               x (..., time, in) -> h (..., time, hidden)
        params {"w": (in, 3 hidden), "b": (3 hidden,), "u": (hidden, 3 hidden), "c": (hidden,)}, columns in the order r, z, n

    Padding leaves the state as it is.

    Args:
        in_size: features of x, at least 1.
        hidden: units, at least 1.
        weights: initializer of each gate's part of w (default: `lecun_normal()`). Biases start at 0.
        recurrent: initializer of each gate's part of u (default: `orthogonal()`).

    Raises: ValueError if a size is not a positive int, or x has another width.
    Differs from: torch.nn.GRU, which has two biases of r and z, of which only the sum matters.
    Reference: Cho et al. 2014, arXiv:1406.1078, with the reset gate after the product, as in cuDNN, torch and Flax.

    >>> layer = gd.models.gru_layer(1, 1)
    >>> params = {"w": jnp.array([[0.0, -9.0, 9.0]]), "b": jnp.zeros(3), "u": jnp.zeros((1, 3)), "c": jnp.zeros(1)}
    >>> print(layer.apply(params, jnp.array([[1.0], [0.0]]))[:, 0])
    [0.99988 0.49994]
    """
    declared = _declare("gru_layer", in_size, hidden, 3, weights, recurrent)
    declared["c"] = Parameter((hidden,), zeros())

    def apply(params, x, mask, key):
        def step(state, gates):
            (h,) = state
            x_r, x_z, x_n = jnp.split(gates, 3, axis=-1)
            h_r, h_z, h_n = jnp.split(h @ params["u"], 3, axis=-1)
            z = jax.nn.sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * (h_n + params["c"]))
            return (n + z * (h - n),)

        return _over_time(step, 1, hidden, _gates("gru_layer", params, x, in_size), mask)

    return Init(declared), layer_of_sequences("gru_layer", apply)


@model(static=("in_size", "hidden"))
def lstm_layer(in_size: int, hidden: int, weights: Initializer | None = None, recurrent: Initializer | None = None):
    """A layer of long short-term memory.

        i, f, o = sigmoid(x_t w_ifo + b_ifo + h_{t-1} u_ifo),   g = tanh(x_t w_g + b_g + h_{t-1} u_g)
        c_t = f c_{t-1} + i g,   h_t = o tanh(c_t),   h_0 = c_0 = 0      x (..., time, in) -> h (..., time, hidden)
        params {"w": (in, 4 hidden), "b": (4 hidden,), "u": (hidden, 4 hidden)}, columns in the order i, f, g, o

    Padding leaves the state as it is.

    Args:
        in_size: features of x, at least 1.
        hidden: units, at least 1.
        weights: initializer of each gate's part of w (default: `lecun_normal()`). Biases start at 0.
        recurrent: initializer of each gate's part of u (default: `orthogonal()`).

    Raises: ValueError if a size is not a positive int, or x has another width.
    Differs from: torch.nn.LSTM, which has two biases, of which only the sum matters.
    Reference: Hochreiter & Schmidhuber 1997; with the forget gate, Gers et al. 2000.

    >>> layer = gd.models.lstm_layer(1, 1)
    >>> params = {"w": jnp.array([[9.0, 0.0, 9.0, 9.0]]), "b": jnp.zeros(4), "u": jnp.zeros((1, 4))}
    >>> print(layer.apply(params, jnp.array([[1.0], [0.0]]))[:, 0])
    [0.76144 0.23103]
    """
    declared = _declare("lstm_layer", in_size, hidden, 4, weights, recurrent)

    def apply(params, x, mask, key):
        def step(state, gates):
            h, c = state
            i, f, g, o = jnp.split(gates + h @ params["u"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(c), c

        return _over_time(step, 2, hidden, _gates("lstm_layer", params, x, in_size), mask)

    return Init(declared), layer_of_sequences("lstm_layer", apply)


def _declare(who: str, in_size: int, hidden: int, gates: int, weights: Any, recurrent: Any) -> dict[str, Parameter]:
    check_size(who, "in_size", in_size)
    check_size(who, "hidden", hidden)
    weights = lecun_normal() if weights is None else weights
    recurrent = orthogonal() if recurrent is None else recurrent
    return {
        "w": Parameter((in_size, gates * hidden), by_part(weights, gates)),
        "b": Parameter((gates * hidden,), zeros()),
        "u": Parameter((hidden, gates * hidden), by_part(recurrent, gates)),
    }


def _gates(who: str, params: Any, x: jax.Array, in_size: int) -> jax.Array:
    """What the input adds to the gates, for all positions by one product."""
    check_sequence(who, x, in_size)
    return x @ params["w"] + params["b"]


def _over_time(
    step: Callable[..., Any], parts: int, hidden: int, gates: jax.Array, mask: jax.Array | None
) -> jax.Array:
    """The first part of each state, (..., time, hidden), of states that start at zero; padding leaves one as it is."""

    def move(state, position):
        gates, counts = position
        new = step(state, gates)
        if counts is not None:
            new = tuple(jnp.where(counts[..., None], a, b) for a, b in zip(new, state, strict=True))
        return new, new[0]

    start = (jnp.zeros((*gates.shape[:-2], hidden), gates.dtype),) * parts
    counts = None if mask is None else jnp.moveaxis(mask, -1, 0)
    _, states = jax.lax.scan(move, start, (jnp.moveaxis(gates, -2, 0), counts))
    return jnp.moveaxis(states, 0, -2)
