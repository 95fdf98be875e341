"""A recurrent network: layers of gated units, and a linear readout of the last state or of all."""

from __future__ import annotations

from gdjax.calls import model
from gdjax.models.initializers import Initializer, jointly, xavier_normal
from gdjax.models.layers import affine, check_size, drop, split_key
from gdjax.models.padding import at_each_position
from gdjax.models.recurrent import gru_layer, lstm_layer
from gdjax.types import Padded

CELLS = {"gru": gru_layer, "lstm": lstm_layer}
READOUTS = ("last", "all")


@model(static=("in_size", "hidden", "out", "layers", "cell", "readout"), bounds={"dropout": "[0, 1)"})
def gru(
    in_size: int,
    hidden: int,
    out: int | None,
    layers: int = 1,
    cell: str = "gru",
    readout: str = "last",
    weights: Initializer | None = None,
    recurrent: Initializer | None = None,
    dropout=0.0,
):
    """A recurrent network.

        h^0 = x,   h^i = layer_i(h^{i-1}),   y = h^k w + b
        params (layer_1, ..., layer_k, {"w": (hidden, out), "b": (out,)})

    From the last state, x (..., time, in) -> y (..., out), or from all of them, y (..., time, out), which is `Padded` if x
    is. The last state is that of the last position that counts.

    Args:
        in_size: features of x, at least 1.
        hidden: units of each layer, at least 1.
        out: at least 1, or None for one number in place of (out,).
        layers: k, at least 1.
        cell: "gru" or "lstm"; see `gru_layer`, `lstm_layer`.
        readout: "last" or "all".
        weights: initializer of every w (default: `lecun_normal()` of the layers, `xavier_normal()` of the readout).
        recurrent: initializer of every u (default: `orthogonal()`).
        dropout: in [0, 1), the probability that a unit of h^i is silenced on its way up, where a key is given.

    Raises: ValueError for another size, cell or readout, or if x has another width.

    >>> model = gd.models.gru(1, 4, 2)
    >>> print(model.apply(model.init(jax.random.key(0)), jnp.zeros((3, 1))))
    [0. 0.]
    """
    if cell not in CELLS:
        raise ValueError(f"gru: cell must be one of {', '.join(CELLS)}, got {cell!r}")
    if readout not in READOUTS:
        raise ValueError(f"gru: readout must be one of {', '.join(READOUTS)}, got {readout!r}")
    check_size("gru", "layers", layers)
    pairs = [CELLS[cell](size, hidden, weights, recurrent).build() for size in (in_size, *[hidden] * (layers - 1))]
    pairs.append(affine("gru", hidden, out, xavier_normal() if weights is None else weights))
    silence = at_each_position("gru", lambda _, h, key: drop(h, dropout, key))

    def apply(params, x, key=None):
        *lower, (_, read) = pairs
        for i, (own_key, (_, layer)) in enumerate(zip(split_key(key, layers), lower, strict=True)):
            x = layer(params[i], x)
            if readout == "last" and i == layers - 1:  # padding has left the state as it was
                x = (x.values if isinstance(x, Padded) else x)[..., -1, :]
            x = silence((), x, own_key)
        return read(params[-1], x)

    return jointly([init for init, _ in pairs]), apply
