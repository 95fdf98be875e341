"""Spec text to node: `parse("adam(b1=0.95)", {"adam": adam})` is the call, read and never evaluated.

The grammar is a call with literal arguments:

    spec    = name [ "(" [ value {"," value} ] {"," name "=" value} ")" ]
    value   = number | string | True | False | None | list | tuple | spec

A name alone is a call without arguments. Names come from the catalogue that is given; nothing else can be reached.
The inverse is `repr`.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


class SpecError(ValueError):
    """A text that is no spec; the message is one line and says what would be right."""


def parse(text: str, catalogue: Mapping[str, Callable[..., Any]], defaults: Mapping[str, Any] | None = None) -> Any:
    """The value of a spec.

    Args:
        text: e.g. `"clip_by_global_norm(adam(b1=0.95), 1.0)"`.
        catalogue: the factories that may be named.
        defaults: values for arguments of the outermost call that the text leaves out and the factory has.

    Raises: SpecError, in one line.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"cannot read {text!r}: write a call such as name(argument=0.1)") from error
    if not isinstance(tree, (ast.Name, ast.Call)):
        raise SpecError(f"cannot read {text!r}: write a call such as name(argument=0.1)")
    return _call(tree, catalogue, defaults or {})


def given_arguments(text: str, catalogue: Mapping[str, Callable[..., Any]]) -> tuple[str, set[str]]:
    """The name a spec calls and the names of the arguments it gives, positional ones included."""
    call: dict[str, Any] = {}

    def record(name: str) -> Callable[..., Any]:
        def recorder(*args, **kwargs):
            bound = inspect.signature(catalogue[name]).bind_partial(*args, **kwargs)
            call.update(name=name, given=set(bound.arguments))

        return recorder

    parse(text, {name: record(name) for name in catalogue})  # the outermost call is the last one made
    return call["name"], call["given"]


def _call(node: ast.Name | ast.Call, catalogue: Mapping[str, Callable], defaults: Mapping[str, Any]) -> Any:
    function = node.func if isinstance(node, ast.Call) else node
    if not isinstance(function, ast.Name):
        raise SpecError(f"a call must start with a name, got {ast.unparse(function)!r}")
    factory = _look_up(function.id, catalogue)
    args = [_value(argument, catalogue) for argument in node.args] if isinstance(node, ast.Call) else []
    keywords = node.keywords if isinstance(node, ast.Call) else []
    kwargs = {str(keyword.arg): _value(keyword.value, catalogue) for keyword in keywords}
    try:
        signature = inspect.signature(factory)
        given = signature.bind_partial(*args, **kwargs).arguments
        extra = {k: v for k, v in defaults.items() if k in signature.parameters and k not in given}
        return factory(*args, **kwargs, **extra)
    except (TypeError, ValueError) as error:
        message = str(error) if str(error).startswith(function.id) else f"{function.id}: {error}"
        raise SpecError(message) from error


def _look_up(name: str, catalogue: Mapping[str, Callable]) -> Callable:
    if name in catalogue:
        return catalogue[name]
    close = difflib.get_close_matches(name, catalogue, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(sorted(catalogue))}"
    raise SpecError(f"no {name!r} here: {hint}")


def _value(node: ast.expr, catalogue: Mapping[str, Callable]) -> Any:
    if isinstance(node, (ast.Call, ast.Name)):
        return _call(node, catalogue, {})
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, catalogue) for item in node.elts)
    if isinstance(node, ast.List):
        return [_value(item, catalogue) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise SpecError(f"an argument must be a literal or a call, got {ast.unparse(node)!r}") from error
