"""Calls as text: `parse("adam(b1=0.95)", {"adam": adam})` returns the call; the text is parsed and never evaluated.

The grammar is a call with literal arguments:

    spec    = name [ "(" [ value {"," value} ] {"," name "=" value} ")" ]
    value   = number | string | True | False | None | list | tuple | dict | spec

A name alone is a call without arguments. Only names of the given catalogue are known. The inverse is `render`, which gives
the text that a node prints.
"""

from __future__ import annotations

import ast
import inspect
import numbers
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.text import did_you_mean, short

TYPOGRAPHY = str.maketrans("−–“”‘’", "--\"\"''")  # signs of web pages and word processors
DEEPEST = 50  # nested calls, lists and signs


class SpecError(ValueError):
    """A text that is no spec; the message is one line with a correction."""


def parse(text: str, catalogue: Mapping[str, Callable[..., Any]]) -> Any:
    """The value of a spec such as `"chain(clip_by_global_norm(1.0), adam(0.001, b1=0.95))"`.

    Args:
        catalogue: name -> factory.

    Raises: SpecError with a message of one line.
    """
    try:
        return _value(_parse_call(text), catalogue)
    except SpecError as error:
        if found := re.search(r"[(=]\s*(0),(\d+)", text):
            comma = f"; is 0,{found[2]} a number? Write a decimal point, 0.{found[2]}"
            raise SpecError(f"{error}{comma}") from error
        raise


def _parse_call(text: str) -> ast.expr:
    """The syntax tree of a call. Raises: SpecError for any other text, and for one that is nested too deeply."""
    example = "write a call such as name(argument=0.1)"
    try:
        tree = ast.parse(text.strip().translate(TYPOGRAPHY), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecError(f"cannot read {short(text)!r}: {example}") from error
    if not isinstance(tree, (ast.Name, ast.Call)):
        raise SpecError(f"cannot read {short(text)!r}: {example}")
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise SpecError(f"a call must be nested at most {DEEPEST} deep, {short(text)!r} is deeper")
    return tree


def _value(node: ast.expr, catalogue: Mapping[str, Callable[..., Any]]) -> Any:
    if isinstance(node, ast.Name):
        return _call(node, [], {}, catalogue)
    if isinstance(node, ast.Call):
        args = [_value(argument, catalogue) for argument in node.args]
        if None in [keyword.arg for keyword in node.keywords]:
            raise SpecError(f"an argument must be written as name=value, got {short(ast.unparse(node))!r}")
        kwargs = {str(keyword.arg): _value(keyword.value, catalogue) for keyword in node.keywords}
        return _call(node.func, args, kwargs, catalogue)
    if isinstance(node, (ast.Tuple, ast.List)):
        items = [_value(item, catalogue) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Dict) and None not in node.keys:
        pairs = zip(filter(None, node.keys), node.values, strict=True)
        if any(isinstance(key, (ast.List, ast.Dict, ast.Set)) for key in node.keys):
            raise SpecError(f"a key must be a number, a string or a tuple, got {short(ast.unparse(node))!r}")
        return {_value(key, catalogue): _value(value, catalogue) for key, value in pairs}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise SpecError(f"an argument must be a literal or a call, got {short(ast.unparse(node))!r}") from error


def _call(
    function: ast.expr, args: list[Any], kwargs: dict[str, Any], catalogue: Mapping[str, Callable[..., Any]]
) -> Any:
    if not isinstance(function, ast.Name):
        raise SpecError(f"a call must start with a name, got {short(ast.unparse(function))!r}")
    name = function.id
    if name not in catalogue:
        raise SpecError(f"no {short(name)!r} here: {did_you_mean(name, sorted(catalogue))}")
    try:
        return catalogue[name](*args, **kwargs)
    except (TypeError, ValueError, OverflowError) as error:
        message = " ".join(str(error).split())
        raise SpecError(message if message.startswith(name) else f"{name}: {message}") from error


def render_arguments(signature: inspect.Signature, arguments: dict[str, Any]) -> Iterator[str]:
    for name, parameter in signature.parameters.items():
        value = arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            yield from map(render, value)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            yield render(value)
        elif render(value) != render(parameter.default):
            yield f"{name}={render(value)}"


def render(value: Any) -> str:
    """The text of a value, from which `parse` restores it: float32 0.95 is 0.95, not 0.94999998."""
    if isinstance(value, (Tracer, jax.ShapeDtypeStruct)):
        return str(value)
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(data_of(value))
        return f"[{', '.join(map(render, array))}]" if array.ndim else _render_scalar(array[()])
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        return _render_scalar(value)
    if isinstance(value, tuple) and type(value) is tuple:
        return f"({', '.join(map(render, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(render, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{render(k)}: {render(v)}' for k, v in value.items())}}}"
    return getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or repr(value)


def is_key(x: Any) -> bool:
    """Whether x is a typed random key, or an array of them."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def data_of(x: Any) -> Any:
    """The data of a typed random key, uint32; anything else as it is."""
    if not is_key(x):
        return x
    with jax.ensure_compile_time_eval():
        return jax.random.key_data(x)


def _render_scalar(value: Any) -> str:
    text = str(value)  # the fewest digits that identify the value in its dtype
    if isinstance(value, (float, np.inexact)) and not np.iscomplexobj(value):
        text = repr(float(text))
    return text.removesuffix(".0")
