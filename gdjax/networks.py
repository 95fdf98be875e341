"""Networks by name: from the rows of a table and a few words to a model.

    network("mlp", Rows(64), 10, {"hidden": (128, 64)})                        mlp((64, 128, 64, 10))
    network("cnn", Rows(64, (8, 8, 1)), 10, {"channels": (16, 32)})            serial(unflatten((8, 8, 1)), cnn(...))

A network reads those words that its builder names; what is not said has the builder's default. Rows are flat, (d,); where
they are images (h, w, c) or series (length, c), a network that needs their shape gives it back to them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gdjax.calls import Model
from gdjax.models import augment, cnn, flatten, gru, mlp, serial, spiking, unflatten
from gdjax.text import did_you_mean


class Rows(NamedTuple):
    """What a network reads: the number of features of a row, and their shape where it is an image or a series."""

    features: int
    shape: tuple[int, ...] = ()


def _mlp(
    rows: Rows,
    out: int | None,
    *,
    hidden: Sequence[int] = (128, 64),
    activation: str = "relu",
    dropout: float = 0.0,
) -> Model:
    return mlp((rows.features, *hidden, out), activation=activation, dropout=dropout)


def _cnn(
    rows: Rows,
    out: int | None,
    *,
    channels: Sequence[int] = (32, 64),
    kernel: int = 3,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    norm: str | None = None,
    dropout: float = 0.5,
) -> Model:
    network = cnn(rows.shape, out, channels, hidden, kernel, activation, norm, dropout=dropout)
    return serial(unflatten(rows.shape), network)


def _gru(rows: Rows, out: int | None, *, width: int = 64, layers: int = 1, dropout: float = 0.0) -> Model:
    """Over the steps of a series, or the lines of an image from top to bottom."""
    time, *rest = rows.shape
    size = math.prod(rest)
    return serial(unflatten((time, size)), gru(size, width, out, layers, dropout=dropout))


def _nothing(number: str) -> bool:
    if number:
        raise ValueError
    return True


def _spiking(rows: Rows, out: int | None, *, hidden: Sequence[int] = (128,)) -> Model:
    return spiking((rows.features, *hidden, out))


def _transformer(
    rows: Rows, out: int | None, *, width: int = 128, layers: int = 4, heads: int = 4, dropout: float = 0.0
) -> Model:
    raise ValueError("`model=transformer` reads text, such as that of a file FILE.txt, and no table")


NETWORKS: dict[str, Callable[..., Model]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "gru": _gru,
    "spiking": _spiking,
    "transformer": _transformer,
}
SHAPED = ("cnn", "gru")  # those that need the shape of their rows
OF_TEXT = ("transformer",)
# The changes of rows while training, each with the reading of its number.
CHANGES: dict[str, Callable[[str], Any]] = {"flip": _nothing, "shift": int, "crop": float, "noise": float}
EXAMPLES = {"flip": "flip", "shift": "shift=2", "crop": "crop=0.8", "noise": "noise=0.1"}


def words_of(name: str) -> tuple[str, ...]:
    """The words that a model of this name reads; none of a model that is no network.

    >>> from gdjax.networks import words_of
    >>> print(words_of("mlp"), words_of("linear_svm"))
    ('hidden', 'activation', 'dropout', 'augment') ()
    """
    if name not in NETWORKS:
        return ()
    parameters = inspect.signature(NETWORKS[name]).parameters.values()
    own = tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY)
    return own if name in OF_TEXT else (*own, "augment")


def network(name: str, rows: Rows, out: int | None, words: Mapping[str, Any]) -> Model:
    """The network of a name on rows.

    Args:
        out: scores for each row, or None for one number.
        words: what is said of it; a None is left to its default. "augment", read by all, is the changes of rows while
            training, such as ("flip", "shift=2").

    Raises: ValueError for a word that it does not read, and for rows without the shape that it needs.

    >>> from gdjax.networks import Rows, network
    >>> print(network("mlp", Rows(4), 3, {"hidden": (8,), "dropout": None}))
    mlp((4, 8, 3))
    """
    said = {word: value for word, value in words.items() if value is not None}
    changes = said.pop("augment", ())
    for word in said:
        if word not in words_of(name):
            raise ValueError(not_read(word, name))
    for asked in ([f"model={name}"] if name in SHAPED else []) + (["augment"] if changes else []):
        if not rows.shape:
            raise ValueError(
                f"`{asked}` reads images or series, the rows here have {rows.features} columns without a shape: "
                "`shape` gives them one, such as 28 28 1"
            )
    built = NETWORKS[name](rows, out, **said)
    if not changes:
        return built
    return serial(unflatten(rows.shape), augment(rows.shape, **changes_of(changes)), flatten(rows.shape), built)


def changes_of(words: Sequence[str]) -> dict[str, Any]:
    """The arguments of `augment` in words such as "flip" and "shift=2".

    Raises: ValueError for a word that is none of them.

    >>> from gdjax.networks import changes_of
    >>> print(changes_of(["shift=2", "flip", "noise=0.1"]))
    {'shift': 2, 'flip': True, 'noise': 0.1}
    """
    found: dict[str, Any] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in CHANGES:
            raise ValueError(f"`augment={word}`: {did_you_mean(name, CHANGES)}")
        try:
            found[name] = CHANGES[name](number)
        except ValueError:
            raise ValueError(f"`augment={word}`: write {EXAMPLES[name]}") from None
    return found


def not_read(word: str, name: str) -> str:
    """That a model does not read a word, and which ones do.

    >>> from gdjax.networks import not_read
    >>> print(not_read("hidden", "linear_svm"))
    `hidden` is of the model mlp or cnn or spiking, `model=linear_svm` has none
    """
    readers = [each for each in NETWORKS if word in words_of(each)]
    return f"`{word}` is of the model {' or '.join(readers)}, `model={name}` has none"
