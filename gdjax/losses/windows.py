"""A loss on a window of a long sequence, as a function of where the window starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import check_interval
from gdjax.domain import Domain, within
from gdjax.programs import bind


@dataclasses.dataclass(frozen=True, eq=False)
class OverWindows:
    """A loss of the position where a window starts; made by `over_windows`."""

    loss: Callable[..., Any]
    sequence: jax.Array
    context: int

    @property
    def directions(self) -> dict[str, str]:
        return getattr(self.loss, "directions", {})

    @property
    def weight_of(self) -> Callable[..., Any] | None:
        """The weight of a window as an example, where the loss has one, such as `per_token`."""
        of_pair = getattr(self.loss, "weight_of", None)
        return None if of_pair is None else bind(_weight_of_window, self, of_pair)

    def window(self, start: Any) -> tuple[jax.Array, jax.Array]:
        """x and y of the window that starts there."""
        window = jax.lax.dynamic_slice_in_dim(self.sequence, start, self.context + 1)
        if jnp.issubdtype(window.dtype, jnp.integer):
            window = window.astype(jnp.int32)
        return window[:-1], window[1:]

    def __call__(self, params: Any, start: jax.Array, key: jax.Array | None = None) -> Any:
        last = len(self.sequence) - 1 - self.context
        there = Domain(f"[0, {last}]", lambda start: (start >= 0) & (start <= last))
        is_there = within("over_windows", "start", start, there)  # a slice would be of the window nearest to it
        return jax.tree.map(lambda x: x * is_there, self.loss(params, self.window(start), key))


def _weight_of_window(windows: OverWindows, of_pair: Callable[..., Any], start: Any) -> Any:
    return of_pair(windows.window(start))


def over_windows(loss: Callable[..., Any], sequence: Any, context: int) -> OverWindows:
    """l(params, start, key) = loss(params, (x, y), key), x = s_start ... s_(start+context-1) and y one position later.

    Data are then the starts alone: no window is copied out of the sequence, which the loss captures and a compiled program
    takes as an argument. `per_example` lifts it to a batch of starts, and weighs windows as it weighs examples of the loss,
    by the tokens that count if that is `supervised(model, per_token(...))`.

    Args:
        loss: (params, (x, y), key) -> a scalar, or (scalar, metrics), such as `supervised` makes.
        sequence: s (n, ...), such as the numbers of the characters of a text, in any integer dtype.
        context: at least 1; a start must be in [0, n - 1 - context].

    Raises: ValueError for a sequence that is too short, or a start outside (NaN where it is traced).

    >>> of_pair = lambda w, example, key: jnp.mean((w * example[0] - example[1]) ** 2)
    >>> loss = gd.per_example(gd.losses.over_windows(of_pair, jnp.array([1.0, 2.0, 4.0, 8.0]), context=2))
    >>> print(loss(2.0, jnp.array([0, 1]))[0], loss(1.0, jnp.array([1]))[0])
    0.0 10.0
    """
    check_interval("over_windows", "context", context, "[1, inf)")
    sequence = jnp.asarray(sequence)
    if sequence.ndim == 0 or len(sequence) <= context:
        raise ValueError(f"over_windows: sequence must be longer than context={context}, got shape {sequence.shape}")
    return OverWindows(loss, sequence, context)
