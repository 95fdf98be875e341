"""Models of a text by name: from the sizes of the vocabulary and the context, and a few words, to a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gdjax.calls import Model
from gdjax.models import embedding, gru, serial, transformer


def _transformer(
    vocabulary: int, context: int, *, width: int = 128, layers: int = 4, heads: int = 4, dropout: float = 0.0
) -> Model:
    return transformer(vocabulary, context, width, layers, heads, dropout)


def _gru(vocabulary: int, context: int, *, width: int = 128, layers: int = 1, dropout: float = 0.0) -> Model:
    """A recurrent network that reads the vectors of units, and predicts the next one at each."""
    return serial(embedding(vocabulary, width), gru(width, width, vocabulary, layers, readout="all", dropout=dropout))


LANGUAGE_MODELS: dict[str, Callable[..., Model]] = {"transformer": _transformer, "gru": _gru}
WORDS = ("width", "layers", "heads", "dropout")


def language_model(name: str, vocabulary: int, context: int, words: Mapping[str, Any]) -> Model:
    """The model of a name.

    Args:
        words: what is said of it; a None is left to its default.

    Raises: ValueError for a word that it does not read.

    >>> from gdjax.runs.language.models import language_model
    >>> print(language_model("transformer", 65, 32, {"layers": 2}))
    transformer(65, 32, layers=2)
    """
    known = inspect.signature(LANGUAGE_MODELS[name]).parameters
    said = {word: value for word, value in words.items() if value is not None}
    for word in said:
        if word not in known:
            raise ValueError(f"`{word}` is of a transformer, `model={name}` has none")
    return LANGUAGE_MODELS[name](vocabulary, context, **said)
