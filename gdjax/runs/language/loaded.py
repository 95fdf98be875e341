"""A run on a text that was read back from its folder: it continues a text, and tells how well it predicts another."""

from __future__ import annotations

import dataclasses
import html
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model
from gdjax.data import Vocabulary, read_codes, read_corpus
from gdjax.runs.arrays import read_arrays
from gdjax.runs.config import RunConfig, TextConfig
from gdjax.runs.damage import RecordError, reading
from gdjax.runs.folder import framed, read_finished
from gdjax.runs.language.judging import score_lines
from gdjax.runs.language.sampling import LENGTH, TEMPERATURE, sample
from gdjax.runs.language.work import Shares, language_objective, thinned
from gdjax.runs.topology import on_devices
from gdjax.text import counted, table


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedText:
    """A run on a text: `sample(prompt)` continues a text.

    Args:
        vocabulary: the characters or bytes that it knows.
    """

    folder: Path
    config: RunConfig
    result: dict[str, Any]
    history: list[dict[str, Any]]
    model: Model
    params: Any
    vocabulary: Vocabulary

    @property
    def data(self) -> TextConfig:
        assert isinstance(self.config.data, TextConfig)
        return self.config.data

    def sample(self, prompt: str = "", length: int = LENGTH, temperature: float = TEMPERATURE, seed: int = 0) -> str:
        """The prompt, and so many characters or bytes after it.

        Args:
            temperature: at least 0: below 1 likely units are drawn more often than the model says; 0 takes the likeliest.
            seed: of the draws.

        Raises: ValueError, in one line, for a prompt that has what the vocabulary lacks, or a number out of range.
        """
        how = prompt, length, temperature, seed
        return sample(self.model, self.params, self.vocabulary, self.data.context, *how)

    def reevaluation(self) -> str:
        """A table of the scores on the run's own text, which is read again.   Raises: ValueError if it has changed."""
        data = self.data
        if data.source == "-":
            raise ValueError(f"{self.folder} was not trained on a file that is still there: give one to evaluate it on")
        corpus = read_corpus(data.source, data.unit, data.encoding)
        if corpus.sha256 != data.hash:
            raise ValueError(f"{data.source} has changed since {self.folder} was trained on it")
        windows = corpus.windows(data.context)
        shares = Shares(jnp.asarray(windows.train), jnp.asarray(thinned(windows.validation)))
        objective = language_objective(self.model, corpus.tokens, data.context)
        return score_lines(data, objective, self.params, shares)

    def evaluate_on(self, source: str | os.PathLike[str]) -> str:
        """The scores on another text, without what the vocabulary lacks.   Raises: ValueError for what is no text."""
        codes = read_codes(source, self.data.unit)
        known = np.isin(codes, self.vocabulary.codes)
        tokens, context = self.vocabulary.numbers(codes[known]), self.data.context
        if len(tokens) <= context:
            raise ValueError(f"{source}: a text must be longer than the context of {context} that the run knows")
        every = np.arange(0, len(tokens) - context, context, dtype=np.int32)
        starts = thinned(every)
        found = language_objective(self.model, tokens, context).scores(self.params, jnp.asarray(starts))
        unit = self.data.unit[:-1]
        windows = f"{len(starts):,}" + (f" of {len(every):,}, evenly" if len(every) > len(starts) else "")
        lines = [("windows", windows), (f"nats per {unit}", f"{found['loss']:.6g}")]
        lines += [(f"bits per {unit}", f"{found['loss'] / np.log(2):.6g}"), ("accuracy", f"{found['accuracy']:.6g}")]
        lost = int((~known).sum())
        lines += [("left out", f"{counted(lost, unit)} that the vocabulary lacks")] if lost else []
        return table(lines, right=(1,))

    def shown(self) -> str:
        """What the run has learned and how good it is, as its folder says."""
        data, result = self.data, self.result
        assessment = result.get("assessment")
        judged = assessment.get("sentences", []) if isinstance(assessment, dict) else []
        return "\n".join(
            [
                f"{self.folder}: a model of {data.name}, {data.unit}, started {self.config.started}",
                f"{self.config.model}, {result['parameters']} parameters, {self.config.optimizer}",
                f"ended {result['stop']} after {result['steps']} steps{on_devices(self.config)}",
                *map(str, judged),
                f"repeat it: {self.config.command}",
            ]
        )

    def _repr_html_(self) -> str:
        """In a notebook: its report."""
        return framed(self.folder) or f"<pre>{html.escape(self.shown())}</pre>"


def load_text(folder: str | Path) -> LoadedText:
    """Read the folder of a run on a text.   Raises: RecordError with a message of one line."""
    folder, found = Path(folder), read_finished(folder)
    config, data = found.config, found.config.data
    if not isinstance(data, TextConfig):
        raise RecordError(
            f"{folder} is a run on a table: `gdjax predict` predicts rows, and there is no text to continue"
        )
    with reading(folder):
        vocabulary = Vocabulary.from_json(found.encoding)
        window = jax.ShapeDtypeStruct((1, data.context), "int32")
        outputs = jax.eval_shape(lambda key, x: found.model.apply(found.model.init(key), x), jax.random.key(0), window)
        if outputs.shape != (1, data.context, len(vocabulary)):
            raise ValueError(f"the model must give scores of {len(vocabulary)} units, got shape {outputs.shape}")
        kept = read_arrays(folder, found.model, config, window)
    return LoadedText(folder, config, found.result, found.history, found.model, kept.params, vocabulary)
