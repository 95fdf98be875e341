"""The laws of optimizers, checked by `check_optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from gdjax.calls.node import Node
from gdjax.laws.check import Laws, Report, run
from gdjax.laws.optimizer import rates, shapes, values
from gdjax.laws.optimizer.trial import Trial, canonicalize, parameters

LAWS = Laws({**shapes.LAWS, **values.LAWS, **rates.LAWS})


def check_optimizer(
    optimizer: Any,
    *,
    with_rate: Callable[[Any], Any] | None = None,
    params: Any = None,
    per_example: bool = False,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    examples: int = 10,
    all: bool = False,
) -> Report:
    """Test the laws of optimizers on an optimizer of gdjax or Optax, or your own.

    Args:
        optimizer: a pair `(init, update)`, as in Optax.
        with_rate: learning rate (a number or a schedule) -> the same method with it, such as `optax.sgd`, for the laws about
            the learning rate. An optimizer of gdjax with a `learning_rate` does not need it.
        params: the tree for the laws about numbers, without complex or integer leaves (default: a small tree).
        per_example: whether its gradients are those of single examples, with a leading axis.
        exceptions: law -> the reason why it need not hold; an exception for a law that holds is an error.
        only: names of the laws to test (default: all).
        examples: >= 0, number of trees and gradients that Hypothesis draws for each law about arbitrary ones.
        all: collect all broken laws in the report instead of raising the first.

    Raises: LawBroken, an AssertionError, with the law's name, what must hold, and the smallest case found.

    >>> from gdjax import laws
    >>> print(laws.check_optimizer(optax.sgd(0.1), only=["descends", "zero"]))
    optax: chain: 2 laws hold, 0 are broken
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(f"check_optimizer: optimizer must have init and update, as Optax's, got {optimizer!r}")
    exceptions = exceptions or {}
    if with_rate is None and isinstance(optimizer, Node) and "learning_rate" in optimizer.arguments:
        with_rate = lambda rate: optimizer.replace(learning_rate=rate)  # noqa: E731

    def trials() -> Iterator[tuple[str, Trial]]:
        for words, tree in (parameters() if params is None else {"the parameters given": params}).items():
            yield f"parameters: {words}", Trial(canonicalize(optimizer), tree, with_rate, per_example, examples)

    return run(LAWS.pick(only, exceptions), _name(optimizer, with_rate), trials, exceptions, all)


def _name(optimizer: Any, with_rate: Any) -> str:
    """The call of a node; for any other optimizer, the name of its factory."""
    if isinstance(optimizer, Node):
        return repr(optimizer)
    maker = with_rate if hasattr(with_rate, "__qualname__") else optimizer.update
    return f"{maker.__module__.partition('.')[0]}: {maker.__qualname__.partition('.<locals>')[0]}"
