"""A run on a text that is chosen and checked before its first step, and what identifies it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import metrics
from gdjax.calls import Model
from gdjax.data import CORPORA, Corpus, read_corpus
from gdjax.losses import LOSSES, over_windows, per_example, supervised
from gdjax.optimizers.request import OptimizerRequest
from gdjax.runs.config import RunConfig, TextConfig
from gdjax.runs.job import Job, Settings, check_length, plan
from gdjax.runs.language.models import LANGUAGE_MODELS, WORDS, language_model
from gdjax.runs.machine import environment
from gdjax.runs.options import TrainOptions
from gdjax.runs.topology import placement_of, topology_of
from gdjax.tasks import Objective
from gdjax.training import Length, Result, make_evaluate

if TYPE_CHECKING:
    from gdjax.runs.ending import Ending

LOSS = "softmax_cross_entropy_with_integer_labels"
CONTEXT, BATCH, STEPS, EVERY = 64, 12, 4000, 250  # nanoGPT's on a CPU, but for the steps
PEAK, LAST, WARMUP = 4e-3, 1e-4, 100  # rate of its adamw
DECAY, CLIP, B2 = 0.1, 1.0, 0.99
MOST_WINDOWS = 2048  # of validation, at an evaluation; of a longer share they lie evenly over it
CHUNK = 128  # windows that are evaluated at once
SUFFIXES = (".txt", ".text", ".md", ".rst", ".tex")  # of files that a gru reads as a text

# The options that say something of a run on a text; any other is of a table.
USED = (
    *("model", "unit", "encoding", "context", "width", "layers", "heads", "dropout", "optimizer", "learning_rate"),
    *("schedule", "schedule_unit", "batch_size", "order", "epochs", "steps", "every", "patience", "min_delta"),
    *("weight_decay", "clip", "set", "seed", "dtype", "compute_dtype", "microbatches", "remat", "device"),
    *("deterministic", "devices", "shard", "out", "quick", "memory", "tensorboard", "checkpoint_every", "resume"),
    *("allow_versions", "overwrite", "quiet"),
)


class Shares(NamedTuple):
    """Where the windows of each share start, (n,) int32."""

    train: jax.Array
    validation: jax.Array


class LanguageWork(NamedTuple):
    """A run on a text that is chosen and checked, and what identifies it."""

    corpus: Corpus
    parts: Shares
    job: Job
    config: RunConfig

    @property
    def text(self) -> TextConfig:
        assert isinstance(self.config.data, TextConfig)
        return self.config.data

    def end(self, folder: Path, result: Result, options: TrainOptions, tell: Callable[[str], None]) -> Ending:
        """What the run adds to its folder at its end."""
        from gdjax.runs.language.ending import end_language

        return end_language(self, folder, result, options, tell)


def is_language(data: Any, options: TrainOptions) -> bool:
    """Whether a run is on a text: by its name, its model, or an option that only a text has.

    Of the models that read both, a gru takes a file for a text if its name ends in .txt or the like.
    """
    if options.model == "transformer" or (isinstance(data, str) and data in CORPORA):
        return True
    is_file = isinstance(data, (str, os.PathLike)) and Path(data).suffix.lower() in SUFFIXES
    return (
        options.model == "gru"
        and not options.shape
        and (is_file or options.unit is not None or options.context is not None)
    )


def choose_language(data: Any, options: TrainOptions, command: str) -> LanguageWork:
    """Read the text, and choose what the options leave open.

    Args:
        data: a path, or a name in `CORPORA`.
        command: the words that repeat the run.

    Raises: ValueError, in one line, for what is no text, or an option that cannot be used.
    """
    _check(data, options)
    context = CONTEXT if options.context is None else options.context
    corpus = read_corpus(data, options.unit or "characters", options.encoding)
    windows = corpus.windows(context)
    parts = Shares(jnp.asarray(windows.train), jnp.asarray(thinned(windows.validation)))
    words = {word: getattr(options, word) for word in WORDS}
    model = language_model(options.model, len(corpus.vocabulary), context, words)
    objective = language_objective(model, corpus.tokens, context)
    job = plan(objective, parts, _settings(options, len(windows.train)))
    return LanguageWork(corpus, parts, job, _config(data, corpus, parts, job, context, options, command))


def _check(data: Any, options: TrainOptions) -> None:
    """Raise ValueError if the data are no text, or an option is of a table or of another model."""
    if not isinstance(data, (str, os.PathLike)):
        raise ValueError(f"`model={options.model}` reads a text: a path or a name, got a {type(data).__name__}")
    name = os.fspath(data)
    if options.model not in LANGUAGE_MODELS:
        models = " or ".join(f"`model={each}`" for each in LANGUAGE_MODELS)
        raise ValueError(f"{name} is a text, which `model={options.model}` does not read; {models} does")
    if name not in (*CORPORA, "-") and not any(each in name for each in "./") and not os.path.exists(name):
        raise ValueError(f"there is no file and no text {name!r}; the texts by name are {', '.join(CORPORA)}")
    for field in dataclasses.fields(TrainOptions):
        if field.name not in USED and getattr(options, field.name) != field.default:
            raise ValueError(f"`{field.name}` is of a table, and `model={options.model}` reads {name} as a text")
    for name, least in (("seed", 0), ("learning_rate", 0), ("weight_decay", 0), ("clip", 0), ("patience", 1)):
        if (value := getattr(options, name)) is not None and not value >= least:
            raise ValueError(f"`{name}` must be at least {least}, got {value:g}")


def language_objective(model: Model, tokens: np.ndarray, context: int) -> Objective:
    """A model of a text, with its loss as a function of where windows start: the mean nats of a unit."""
    of_window = supervised(model, LOSSES[LOSS].function, {"accuracy": metrics.correct})
    loss = per_example(over_windows(of_window, tokens, context))
    return Objective(model, LOSS, loss, make_evaluate(loss, chunk_size=CHUNK), "accuracy")


def thinned(starts: np.ndarray, most: int = MOST_WINDOWS) -> np.ndarray:
    """At most so many windows, evenly over all."""
    if len(starts) <= most:
        return starts
    return starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]


def _settings(options: TrainOptions, windows: int) -> Settings:
    """The settings of the run, for so many training windows."""
    check_length(options)
    batch = min(BATCH, windows) if options.batch_size is None else options.batch_size
    unsaid = options.epochs is None and options.steps is None
    steps = STEPS if unsaid else options.steps
    total = Length(options.epochs, steps).batches(-(-windows // max(batch, 1)))
    request = {field.name: getattr(options, field.name) for field in dataclasses.fields(OptimizerRequest)}
    by_default = options.optimizer is None and options.schedule is None
    if options.optimizer is None:
        request |= {"optimizer": f"adam(b2={B2})"}
        request |= {"weight_decay": DECAY} if options.weight_decay is None else {}
        request |= {"clip": CLIP} if options.clip is None else {}
        request |= {"learning_rate": PEAK} if by_default and options.learning_rate is None else {}
    if by_default:
        warmup = min(WARMUP, total // 10)
        request["schedule"] = f"warmup_cosine_decay_schedule(0.0, warmup_steps={warmup}, end_value={LAST})"
    every = max(1, min(EVERY, total // 8)) if options.every is None else options.every
    names = {field.name for field in dataclasses.fields(Settings)} - {"optimizer", "to_minimum"}
    found = {name: getattr(options, name) for name in names & {field.name for field in dataclasses.fields(options)}}
    found |= {"steps": steps, "batch_size": batch, "every": every}
    return Settings(OptimizerRequest(**request), **found)


def _config(
    data: Any, corpus: Corpus, parts: Shares, job: Job, context: int, options: TrainOptions, command: str
) -> RunConfig:
    text = TextConfig(
        source=os.fspath(data),
        name=corpus.name,
        hash=corpus.sha256,
        unit=corpus.vocabulary.unit,  # type: ignore[arg-type]
        encoding=options.encoding,
        context=context,
        vocabulary=len(corpus.vocabulary),
        units={"train": len(corpus.train), "validation": len(corpus.validation)},
        rows={name: len(starts) for name, starts in parts._asdict().items()},
    )
    return RunConfig(
        command=command,
        data=text,
        weight_decay=options.weight_decay,
        class_weights=(),
        threshold=None,
        folds=0,
        **job.said,
        split_seed=options.seed,
        **topology_of(placement_of(options)),
        **environment(),
    )
