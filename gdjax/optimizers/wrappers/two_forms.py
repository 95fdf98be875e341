"""One name for two forms of a call: Optax's transform, and gdjax's wrapper around an optimizer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import optax

from gdjax.calls import Optimizer, mistakes


def is_optimizer(x: Any) -> bool:
    return isinstance(x, optax.GradientTransformation) or hasattr(x, "gradient_transformation")


def is_around_an_optimizer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call has an optimizer first, or by the name `inner`."""
    return "inner" in kwargs or (bool(args) and is_optimizer(args[0]))


def print_as(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks the body of a second form: its calls print under the given name, and are pickled under their own."""

    def rename(body: Callable[..., Any]) -> Callable[..., Any]:
        body.__name__ = name
        return body

    return rename


def two_forms(
    ours: Callable[..., Optimizer],
    theirs: Callable[..., Optimizer],
    is_ours: Callable[[tuple[Any, ...], dict[str, Any]], bool] = is_around_an_optimizer,
) -> Callable[..., Optimizer]:
    """The factory of both forms: it has the docstring of ours, and the signature of Optax with our further keywords."""

    first = list(inspect.signature(theirs).parameters.values())
    known = {parameter.name for parameter in first}
    more = [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            default=None if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in list(inspect.signature(ours).parameters.values())[1:]
        if parameter.name not in known
    ]
    signature = inspect.Signature([*first, *more])

    @functools.wraps(ours)
    def make(*args: Any, **kwargs: Any) -> Optimizer:
        for name in kwargs:
            if name != "inner" and name not in signature.parameters:
                raise TypeError(mistakes.unknown(ours.__name__, name, signature.parameters))
        if (
            args
            and first[0].name in kwargs
            and not (is_ours(args, kwargs) and first[0].name in inspect.signature(ours).parameters)
        ):
            raise TypeError(mistakes.misbound(ours.__name__, signature, args, kwargs))
        if not args and first[0].default is inspect.Parameter.empty and not kwargs.keys() & {"inner", first[0].name}:
            raise TypeError(mistakes.misbound(ours.__name__, signature, args, kwargs))
        if not is_ours(args, kwargs):
            return theirs(*args, **kwargs)
        if "optimizer" in kwargs:
            kwargs["inner"] = kwargs.pop("optimizer")
        return ours(*args, **kwargs)

    make.__signature__ = signature  # type: ignore[attr-defined]
    return make
