"""Convolution: the same small weights at every place of an image or a series."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.geometry import check_padding, check_window, per_axis, window_over
from gdjax.models.initializers import Init, Initializer, Parameter, lecun_normal, zeros
from gdjax.models.layers import check_size
from gdjax.patches import convolve


@model(static=("in_channels", "out_channels", "kernel", "stride", "padding", "dilation", "groups", "bias"))
def conv(
    in_channels: int,
    out_channels: int,
    kernel: Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    weights: Initializer | None = None,
    bias: bool = True,
):
    """A convolution: a window slides over an image or a series, and each place is a weighted sum of what it sees.

        y[p, o] = sum_{k, c} x[stride p + dilation k - before, c] w[k, c, o] + b[o]
        x (..., height, width, in) -> y (..., height', width', out);   a series: x (..., length, in) -> y (..., length', out)
        params {"w": (*kernel, in / groups, out), "b": (out,)}

    Channels come last, and w is not flipped, as in Flax and torch (where channels come first and w is (out, in, *kernel)).

    Args:
        in_channels: channels of x, at least 1.
        out_channels: channels of y, at least 1.
        kernel: sizes of the window: (height, width) for images, (length,) for series.
        stride: steps from place to place, one number or one for each axis.
        padding: "SAME" pads with zeros to ceil(n / stride) places, "VALID" takes the places inside of x alone; or the zeros
            (before, after) each axis: `((1, 1), (1, 1))`, and `((2, 0),)` sees nothing of what comes later.
        dilation: distance of the entries of x under neighboring weights, one number or one for each axis.
        groups: parts into which the channels are divided, each of which sees its own alone; in_channels is a convolution of
            each channel by itself.
        weights: initializer of w (default: `lecun_normal()`). The bias starts at 0.
        bias: whether there is a b.

    On CPU it is computed as one matrix product of patches, which is as fast inside of a compiled loop as outside, and
    elsewhere by XLA's convolution; with more than 64 weights in the window always by XLA's. The patches have the bytes of x
    times the weights in the window. In a training step few of them are in memory at a time, but those of one image always at
    once: 512 x 512 x 16 under (3, 3) are 151 MB. In a loop of your own around a loss of `per_example` those of all rows are,
    of all layers, until the backward pass.

    Raises: ValueError if a size is not a positive int, groups divide the channels with a rest, x has other channels, or x is
        smaller than the window.
    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    >>> params = {"w": jnp.array([[[-1.0]], [[1.0]]]), "b": jnp.zeros(1)}
    >>> print(gd.models.conv(1, 1, (2,), padding="VALID").apply(params, jnp.array([[1.0], [4.0], [9.0]]))[:, 0])
    [3. 5.]
    """
    for name, size in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
        check_size("conv", name, size)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"conv: groups must divide {in_channels} and {out_channels} channels, got {groups}")
    kernel = check_window("conv", "kernel", kernel)
    axes = len(kernel)
    check_padding("conv", padding, axes)
    for name, value in (("stride", stride), ("dilation", dilation)):
        per_axis("conv", name, value, axes)
    shape = (*kernel, in_channels // groups, out_channels)
    parameters = {"w": Parameter(shape, lecun_normal() if weights is None else weights)}
    if bias:
        parameters["b"] = Parameter((out_channels,), zeros())

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        if x.ndim <= axes or x.shape[-1] != in_channels:
            axes_of_x = "(..., length, channels)" if axes == 1 else "(..., height, width, channels)"
            raise ValueError(f"conv: x must be {axes_of_x} with {in_channels} channels, got shape {x.shape}")
        window = window_over("conv", x, kernel, stride, padding, dilation)
        dtype = jnp.result_type(x, params["w"])
        rows = x.reshape(-1, *x.shape[-1 - axes :]).astype(dtype)
        y = convolve(rows, params["w"].astype(dtype), window, groups)
        y = y.reshape(*x.shape[: -1 - axes], *y.shape[1:])
        return y + params["b"] if bias else y

    return Init(parameters), apply
