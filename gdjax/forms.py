"""The forms in which a user may hand in a loss, each recognized by its signature and brought to one.

    loss(params, batch)          -> a scalar, or (scalar, dict of metrics)
    loss(params, batch, key)     -> likewise
    loss(params, x, y), loss(params, x, y, key), ...  where the batch is a tuple

What it returns is checked while it is traced, so once per value and shapes, and what is wrong with it is said in one
sentence: what must hold, what came, what to write.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import re
import traceback
import types
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.broadcasting import meets_crosswise
from gdjax.measures import name_of

KEYS = ("key", "rng", "rng_key", "prng_key")  # what an argument is called that is a random key
FORMS = (
    "write loss(params, batch) or loss(params, batch, key), returning a scalar or (scalar, dict of metrics); a batch that "
    "is a tuple (x, y) may also be spread, loss(params, x, y)"
)


class LossError(TypeError):
    """A loss that cannot be called, traced or differentiated; the message is one sentence."""


@dataclasses.dataclass(frozen=True)
class Form:
    """How a function of (params, rows, key) is to be called, read from its signature alone.

    An argument is the key only if its name is one of KEYS. The arguments besides the key and the parameters are the rows:
    a single required one receives them whole; over several, a tuple of rows is spread.
    """

    names: tuple[str, ...]  # the positional arguments
    rows: tuple[int, float]  # the least and largest number of arguments for the rows
    key: str | None
    by_position: bool  # whether the key is positional-only
    takes_mask: bool

    @classmethod
    def of(cls, who: str, function: Any) -> Form:
        """The form of a function. Raises: LossError if its signature is not that of a loss."""
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            raise LossError(f"{who}: the loss must be a function, {FORMS}, got {function!r}") from None
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        rows = [p for p in positional[1:] if p.name not in (*KEYS, "mask")]
        required = [p for p in rows if p.default is p.empty]
        spreads = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        named = [p for p in parameters if p.name in KEYS]
        if not positional or not (rows or spreads):
            raise LossError(f"{who}: the loss must take parameters and a batch, {FORMS}, got {_signature(function)}")
        most = float("inf") if spreads else max(len(required), 1)
        return cls(
            tuple(p.name for p in positional),
            (2 if spreads and not required else max(len(required), 1), most),
            named[0].name if named else None,
            bool(named) and named[0].kind is named[0].POSITIONAL_ONLY,
            any(p.name == "mask" for p in parameters),
        )

    def call(self, who: str, function: Callable[..., Any], params: Any, rows: Any, key: Any, **mask: Any) -> Any:
        """The function applied to these arguments."""
        args = [params, *self.spread(who, function, rows)]
        if self.key is None:
            return function(*args, **mask)
        place = self.names.index(self.key) if self.key in self.names else len(args)
        if self.by_position or place < len(args):
            return function(*args[:place], key, *args[place:], **mask)
        return function(*args, **{self.key: key}, **mask)

    def spread(self, who: str, function: Callable[..., Any], rows: Any) -> tuple[Any, ...]:
        """The rows as arguments."""
        least, most = self.rows
        if most == 1:
            return (rows,)
        if isinstance(rows, (tuple, list)) and least <= len(rows) <= most:
            return tuple(rows)
        if least == 1:
            return (rows,)
        got = f"a tuple of {len(rows)}" if isinstance(rows, (tuple, list)) else f"a {type(rows).__name__}"
        raise LossError(
            f"{who}: the loss takes {_signature(function)}, so its rows must be a tuple of {least}, got {got}; {FORMS} (a "
            f"third argument is a random key only if it is called {', '.join(KEYS)})"
        )


def _signature(function: Any) -> str:
    try:
        return re.sub(r": [^,)=]+", "", str(inspect.signature(function)))
    except (TypeError, ValueError):
        return repr(function)


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss of any form, with one way to call it; made by `as_loss`."""

    function: Callable[..., Any]
    form: Form

    @property
    def directions(self) -> dict[str, str]:
        """The better direction ("min" or "max") of those of its metrics for which it is known."""
        return getattr(self.function, "directions", {})

    @property
    def takes_mask(self) -> bool:
        return self.form.takes_mask

    def __call__(
        self, params: Any, batch: Any, key: Any = None, *, mask: Any = None, who: str = "as_loss"
    ) -> tuple[jax.Array, dict[str, Any]]:
        options = {} if mask is None else {"mask": mask}
        with explain_errors(who):
            _check_meeting(who, self, params, batch, key)
            result = self.form.call(who, self.function, params, batch, key, **options)
        _check_like_gradient(who, params, result)
        value, metrics = result if _is_pair(result) else (result, {})
        if not isinstance(metrics, dict) or (isinstance(result, tuple) and not _is_pair(result)):
            shapes = jax.tree.map(_shape, result)
            raise LossError(f"{who}: the loss must return a scalar or (scalar, metrics dict), got shapes {shapes}")
        check_numbers(who, metrics)
        check_value(who, value, batch)
        return value, metrics  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True)
class Stateful:
    """A loss that carries a state from batch to batch; made by `stateful`."""

    function: Callable[..., Any]

    @property
    def directions(self) -> dict[str, str]:
        return getattr(self.function, "directions", {})

    @property
    def takes_mask(self) -> bool:
        return "mask" in inspect.signature(self.function).parameters

    def __call__(
        self, params: Any, model_state: Any, batch: Any = None, key: jax.Array | None = None, **mask: Any
    ) -> tuple[jax.Array, dict[str, Any], Any]:
        if batch is None:
            raise TypeError("a loss with a state must be called with (params, model_state, batch), got (params, batch)")
        try:
            return self.function(params, model_state, batch, key, **mask)
        except LossError:
            raise
        except Exception as error:
            if jax.tree.leaves(model_state):
                raise
            words = (
                f"stateful: the loss fails without a state; give model_state=, what it starts from, got {model_state!r}"
            )
            raise ValueError(words) from error


def as_loss(who: str, loss: Any) -> Any:
    """A loss of any form as a `LossFn`, by its signature alone; a loss of `stateful` is returned as it is.

    The forms are (params, batch) and (params, batch, key), where the key is an argument named key, rng, rng_key or
    prng_key; each returns a scalar or (scalar, dict of metrics). A batch that is a tuple of n is spread over 1 + n
    arguments.

    Raises: LossError, a TypeError, for any other signature and, when the loss is traced, for any other result.
    """
    if isinstance(loss, (Loss, Stateful)):
        return loss
    module = getattr(loss, "__module__", None) or ""
    of_predictions = module.startswith(("gdjax.losses.", "optax.losses")) and module != "gdjax.losses.lifts"
    if of_predictions or hasattr(loss, "measure"):
        name = getattr(loss, "__name__", "a metric")
        raise LossError(
            f"{who}: {name} compares a prediction with a target; write per_example(supervised(model, {name})), or "
            f"lambda params, batch: ..., got {loss!r} itself as the loss"
        )
    return Loss(loss, Form.of(who, loss))


def check_value(who: str, value: Any, batch: Any) -> None:
    """Raise LossError unless the value of a loss is one real number."""
    if value is None:
        raise LossError(
            f"{who}: the loss must return a scalar or (scalar, metrics dict), got None: is a return missing?"
        )
    leaves = jax.tree.leaves(value)
    if len(leaves) != 1 or leaves[0] is not value:
        shapes = jax.tree.map(_shape, value)
        raise LossError(f"{who}: the loss must return a scalar or (scalar, metrics dict), got shapes {shapes}")
    shape, dtype = _shape(value), jnp.result_type(value)
    if shape:
        rows = {_shape(x)[:1] for x in jax.tree.leaves(batch)}
        lift = "per_example lifts a loss of one example to any batch, or take jnp.mean"
        hint = lift if shape[:1] in rows else "take jnp.mean or jnp.sum"
        raise LossError(
            f"{who}: the loss must return a scalar or (scalar, metrics dict), got shapes {shape}: {hint} of it"
        )
    if not jnp.issubdtype(dtype, jnp.floating):
        raise LossError(f"{who}: the loss must be a real number that can be differentiated, got {dtype}")


def check_numbers(who: str, metrics: dict[str, Any]) -> None:
    """Raise LossError if the dict of metrics that a loss returns has a metric object in place of a number."""
    for name, value in metrics.items():
        if hasattr(value, "measure") or (callable(value) and not hasattr(value, "dtype")):
            raise LossError(
                f"{who}: the metrics that a loss returns must be numbers, got {name_of(value)} for {name!r}; write "
                "metrics.accuracy(predictions, y), or hand the metric itself to supervised or make_evaluate"
            )


def _check_like_gradient(who: str, params: Any, result: Any) -> None:
    """Raise LossError if the result is what `jax.grad` or `jax.value_and_grad` of a loss would return."""
    shapes = lambda tree: list(map(_shape, jax.tree.leaves(tree)))  # noqa: E731
    ours = jax.tree.leaves(params)
    if not any(shapes(params)) and not isinstance(params, (dict, list, tuple)):
        return  # a scalar loss of a scalar
    for name, part in (("grad", result), ("value_and_grad", result[1] if _is_pair(result) else None)):
        same = jax.tree.structure(part) == jax.tree.structure(params) and shapes(part) == shapes(params)
        if same and ours and not all(a is b for a, b in zip(jax.tree.leaves(part), ours, strict=True)):
            raise LossError(
                f"{who}: the loss must return a scalar or (scalar, metrics dict), got what is like the parameters: is this "
                f"{name} of the loss? Give the loss itself"
            )


def _shape(x: Any) -> tuple[int, ...]:
    """The shape of a leaf; () for a leaf of a foreign module that is no array."""
    return getattr(x, "shape", ())


def _is_pair(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2


_checked: weakref.WeakKeyDictionary[Any, set[Any]] = weakref.WeakKeyDictionary()  # loss -> the shapes already checked


def _check_meeting(who: str, loss: Loss, params: Any, batch: Any, key: Any) -> None:
    """Raise LossError if labels (n, 1) are broadcast against predictions (n,), or the reverse; checked once per shapes."""
    shapes = tuple(_shape(x) for x in jax.tree.leaves((params, batch)))
    try:
        checked = _checked.setdefault(loss.function, set())
    except TypeError:  # no weak reference to the loss is possible: check at every call
        checked = set()
    if loss.takes_mask or shapes in checked:  # the losses of `per_example` see one row at a time
        return
    if meets_crosswise(lambda rows: loss.form.call(who, loss.function, params, rows, key), batch):
        n = max(shape[0] for shape in shapes[len(jax.tree.leaves(params)) :] if shape)
        raise LossError(
            f"{who}: predictions and labels must have one shape, got ({n}, 1) and ({n},), whose difference is ({n}, {n}); "
            f"write y[:, 0] or predictions[:, 0] for what is a column, or give both the shape ({n}, 1)"
        )
    checked.add(shapes)


@contextlib.contextmanager
def explain_errors(who: str) -> Iterator[None]:
    """Translate JAX's errors about Python or NumPy operations on traced values: name the user's line and the remedy."""
    try:
        yield
    except TRACED as error:
        raise _explain(who, error) from None
    except TypeError as error:
        if "can be converted to Python scalars" not in str(error):
            raise
        raise _explain(who, error) from None


TRACED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
OTHERS = (
    *(os.path.dirname(module.__file__ or "") for module in (jax, np)),
    os.path.dirname(__file__),
    contextlib.__file__,
)


class NamedErrors(contextlib.ContextDecorator):
    """A context in which errors of the functions `inside` name `who` instead, the function that the user has called."""

    def __init__(self, who: str, inside: Collection[str]):
        self.who: str = who
        self.inside: Collection[str] = inside

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        words = error.args[0] if error is not None and error.args else None
        if isinstance(words, str):
            first, colon, rest = words.partition(":")
            if colon and first in self.inside:
                error.args = (self.who + colon + rest, *error.args[1:])  # type: ignore[union-attr]


def hide_frames(error: Exception) -> Exception:
    """The error with only the frames of the user's own code, unless JAX_TRACEBACK_FILTERING=off is set."""
    if os.environ.get("JAX_TRACEBACK_FILTERING") == "off":
        return error
    kept, frame = [], error.__traceback__
    while frame is not None:
        if not frame.tb_frame.f_code.co_filename.startswith(OTHERS):
            kept.append(frame)
        frame = frame.tb_next
    shown = None
    for each in reversed(kept):
        shown = types.TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    if type(error.__cause__).__module__.startswith("jax"):  # it would repeat the frames
        error.__cause__, error.__suppress_context__ = None, True
    return error.with_traceback(shown)


def _explain(who: str, error: Exception) -> Exception:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(OTHERS)]
    if not own:
        return error
    line = own[-1].line or own[-1].name
    called = [name for name in re.findall(r"\b(?:np|numpy|math)\.(\w+)", line) if hasattr(jnp, name)]
    if called:
        advice = " and ".join(f"jnp.{name}" for name in dict.fromkeys(called))
    elif isinstance(error, jax.errors.TracerBoolConversionError):
        advice = "jnp.where(condition, a, b) for an if, & and | for and and or"
    elif isinstance(error, jax.errors.NonConcreteBooleanIndexError):
        advice = "jnp.where(mask, x, 0) for x[mask]"
    else:
        advice = "jnp's functions, without float(), int() or .item()"
    return LossError(
        f"{who}: what a loss computes is traced by JAX, which Python and NumPy cannot compute with, got "
        f"{own[-1].filename}:{own[-1].lineno}: {line}; write {advice}"
    )
