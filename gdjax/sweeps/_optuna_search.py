"""Configurations proposed by Optuna, from the values of those before; asked for and told, many at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gdjax.domain import as_length
from gdjax.sweeps.space import Axis, Choice, Configuration, Distribution, distribution_of


class Search(NamedTuple):
    """The trials of a search, in their order."""

    configurations: list[Configuration]
    values: np.ndarray  # (n,) float
    direction: str

    @property
    def best(self) -> Configuration:
        """The configuration with the best value.

        Raises: ValueError if no value was finite.
        """
        if not np.isfinite(self.values).any():
            raise ValueError(f"no configuration is the best: none of {len(self.values)} trials had a finite value")
        sign = 1 if self.direction == "min" else -1
        return self.configurations[int(np.argmin(np.where(np.isfinite(self.values), sign * self.values, np.inf)))]


def optuna_search(
    evaluate: Callable[[list[Configuration]], Sequence[float]],
    space: Mapping[str, Axis],
    trials: int,
    width: int = 8,
    sampler: Any = None,
    seed: int = 0,
    direction: str = "min",
) -> Search:
    """Search a space with a sampler of Optuna, which learns from the values; each time it is asked for `width` trials.

        TPE:  x = argmax l(x) / g(x),   l the density of the best trials so far, g that of the others

    Args:
        evaluate: configurations -> a value for each, such as `sweep(..., axes=configurations).means`. A value that is not
            finite is told as the worst there is.
        space: path -> distribution, or values to choose from.
        trials: at least 1.
        width: trials that are evaluated together, at least 1: the lanes of a program. Fewer learn from more.
        sampler: one of `optuna.samplers`, used once (default: `TPESampler(seed=seed)`).
        seed: of the default sampler; with it the trials are the same each time.
        direction: "min" if smaller values are better, "max" if greater ones are.

    Raises: ImportError in one sentence where Optuna is missing; ValueError for other arguments.
    Reference: Bergstra et al. 2011, NeurIPS (TPE); Akiba et al. 2019, KDD (Optuna).

    >>> space = {"learning_rate": gd.sweeps.log_uniform(1e-4, 1.0)}
    >>> far = lambda found: [abs(np.log10(each["learning_rate"]) + 2) for each in found]
    >>> print(min(gd.sweeps.optuna_search(far, space, 32).values) < 0.1)
    True
    """
    trials, width = as_length("optuna_search", "trials", trials), as_length("optuna_search", "width", width)
    if direction not in ("min", "max"):
        raise ValueError(f"optuna_search: direction must be 'min' or 'max', got {direction!r}")
    optuna = _optuna()
    each = {path: distribution_of("optuna_search", path, axis) for path, axis in space.items()}
    theirs = {path: _theirs(optuna, distribution) for path, distribution in each.items()}
    with _silence(optuna):
        study = optuna.create_study(
            sampler=sampler or optuna.samplers.TPESampler(seed=seed), direction=f"{direction}imize"
        )
    configurations, values = [], []
    while len(values) < trials:
        asked = [study.ask(theirs) for _ in range(min(width, trials - len(values)))]
        found = [{path: _ours(each[path], x) for path, x in trial.params.items()} for trial in asked]
        values += _told(study, asked, evaluate(found), direction)
        configurations += found
    return Search(configurations, np.array(values), direction)


def _told(study: Any, asked: list[Any], values: Sequence[float], direction: str) -> list[float]:
    """The values, which the study has been told."""
    found = np.asarray(values, float)
    if found.shape != (len(asked),):
        raise ValueError(
            f"optuna_search: evaluate must return a number for each of {len(asked)} configurations, got shape {found.shape}"
        )
    worst = np.inf if direction == "min" else -np.inf  # of a NaN Optuna would learn nothing
    for trial, value in zip(asked, np.where(np.isfinite(found), found, worst).tolist(), strict=True):
        study.tell(trial, value)
    return found.tolist()


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError("optuna_search: Optuna is needed: pip install 'gdjax[tune]'") from error
    return optuna


@contextlib.contextmanager
def _silence(optuna: Any) -> Iterator[None]:
    """Without the lines that Optuna logs of itself."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _theirs(optuna: Any, distribution: Distribution) -> Any:
    """The distribution in Optuna's terms; values to choose from by number, since they may be objects."""
    if isinstance(distribution, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(distribution.values)))
    kind = optuna.distributions.IntDistribution if distribution.whole else optuna.distributions.FloatDistribution
    return kind(distribution.low, distribution.high, log=distribution.log)


def _ours(distribution: Distribution, value: Any) -> Any:
    return distribution.values[value] if isinstance(distribution, Choice) else value
