"""The spiking network: linear maps between leaky integrate-and-fire neurons."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.codes import CODES, as_floats
from gdjax.models.initializers import Initializer, he_normal, jointly
from gdjax.models.layers import affine, check_size
from gdjax.models.neurons import check_reset, fire, mean_potential
from gdjax.models.spikes import Surrogate, surrogate_function

READOUTS = ("membrane", "counts")


@model(
    static=("sizes", "time_steps", "surrogate", "code", "readout", "reset"),
    bounds={"time_constant": "(0, inf]", "threshold": "(0, inf)", "slope": "(0, inf)"},
)
def spiking(
    sizes: Sequence[Any],
    time_steps: int = 25,
    surrogate: str | Surrogate = "fast_sigmoid",
    code: str = "current",
    readout: str = "membrane",
    reset: str = "soft",
    weights: Initializer | None = None,
    time_constant=10.0,
    threshold=1.0,
    slope=1.0,
):
    """A network of leaky integrate-and-fire neurons, whose input lasts `time_steps` steps.

        s_0 = code(x),   s_i = lif(s_{i-1} w_i + b_i),   y = readout(s_{k-1} w_k + b_k)      x (..., in) -> y (..., out)
        params ({"w": (in, h_1), "b": (h_1,)}, ..., {"w": (h_{k-1}, out), "b": (out,)}), as `mlp`

    It is trained by any optimizer: forward the neurons fire (see `lif`), backward the slope of a spike is a surrogate
    (see `spike`), and the scan over time is differentiated. For classes the losses take y as logits.

    Args:
        sizes: (in, hidden..., out), each at least 1. An out of None gives one number per example, y (...).
        time_steps: at least 1.
        surrogate: a name in `SURROGATES`, or a function (u - threshold, slope) -> derivative.
        code: of the input. "current": x at every step, any number; "rate": spikes of probability x, random where a key
            is given; "latency": one spike, the earlier the larger x. The last two cut x to [0, 1].
        readout: "membrane": y is the mean over time of the potential of output neurons that never fire; "counts": the
            number of spikes of each.
        reset: of a neuron that has fired, "soft" or "hard"; see `lif`.
        weights: initializer of every w (default: `he_normal(0.5)`, for currents add up over time). Biases start at 0.
        time_constant: > 0, steps; infinite for neurons that forget nothing.
        threshold: > 0, in units of the current.
        slope: > 0, of the surrogate at the threshold.

    Raises: ValueError outside these ranges, if there is no such name, or x has another width.
    Reference: Neftci, Mostafa & Zenke 2019, arXiv:1901.09948.

    >>> model = gd.models.spiking((2, 3, 1), time_steps=10)
    >>> params = model.init(jax.random.key(0))
    >>> print(model, gd.summary(params).total, model.apply(params, jnp.zeros(2)))
    spiking((2, 3, 1), time_steps=10) 13 [0.]
    """
    _check(sizes, time_steps, code, readout, reset)
    surrogate = surrogate_function("spiking", surrogate)
    weights = he_normal(0.5) if weights is None else weights
    pairs = [affine("spiking", size, after, weights) for size, after in itertools.pairwise(sizes)]

    def neurons(currents):
        return fire(currents, time_constant, threshold, reset, surrogate, slope)

    def apply(params, x, key=None):
        s = CODES[code](as_floats(x), time_steps, key)
        for i, ((_, layer), part) in enumerate(zip(pairs, params, strict=True)):
            currents = layer(part, s)
            currents = jnp.broadcast_to(currents, (time_steps, *currents.shape[1:]))
            if i < len(pairs) - 1:
                s = neurons(currents)
        return mean_potential(currents, time_constant) if readout == "membrane" else neurons(currents).sum(axis=0)

    return jointly([init for init, _ in pairs]), apply


def _check(sizes: Any, time_steps: Any, code: str, readout: str, reset: str) -> None:
    if not isinstance(sizes, Sequence) or len(sizes) < 2:
        raise ValueError(f"spiking: sizes must be (in, hidden..., out), got {sizes!r}")
    for size in sizes[:-1] if sizes[-1] is None else sizes:
        check_size("spiking", "every size", size)
    check_size("spiking", "time_steps", time_steps)
    for name, given, known in (("code", code, CODES), ("readout", readout, READOUTS)):
        if given not in known:
            raise ValueError(f"spiking: {name} must be one of {', '.join(known)}, got {given!r}")
    check_reset("spiking", reset)
