"""Successive halving: many configurations with a small budget, the better part of them with a larger one, and so on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gdjax.calls import is_number
from gdjax.calls.mistakes import brief
from gdjax.text import counted, table


class Rung(NamedTuple):
    """A rung: some configurations, each with the same budget."""

    budget: float  # of each configuration, since its start
    numbers: tuple[int, ...]  # of the configurations, in their order
    values: np.ndarray  # (n,) float, theirs with this budget
    kept: tuple[int, ...]  # the numbers of those that go on, best first; on the last rung the best


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Halving:
    """The rungs of a successive halving, the smallest budget first."""

    configurations: tuple[Any, ...]
    rungs: tuple[Rung, ...]

    @property
    def budget(self) -> float:
        """All budgets together: what is trained on has what it was given before."""
        before = (0.0, *(rung.budget for rung in self.rungs))
        return sum(len(r.numbers) * (r.budget - spent) for r, spent in zip(self.rungs, before, strict=False))

    @property
    def best(self) -> Any:
        """The configuration with the least value on the last rung.

        Raises: ValueError if no value was finite there.
        """
        if not self.rungs[-1].kept:
            raise ValueError(f"no configuration is the best: none had a finite value with {self._last()}")
        return self.configurations[self.rungs[-1].kept[0]]

    @property
    def best_value(self) -> float:
        """Its value; NaN if there is none."""
        last = self.rungs[-1]
        return float(last.values[last.numbers.index(last.kept[0])]) if last.kept else math.nan

    def _last(self) -> str:
        return f"a budget of {self.rungs[-1].budget:g}"

    def __repr__(self) -> str:
        rows = [["budget", "configurations", "went wrong", "best value"]]
        for rung in self.rungs:
            finite = rung.values[np.isfinite(rung.values)]
            best = f"{finite.min():.5g}" if len(finite) else ""
            rows.append([f"{rung.budget:g}", f"{len(rung.numbers)}", f"{len(rung.values) - len(finite)}", best])
        found = f"best: {self.best!r}" if self.rungs[-1].kept else f"none had a finite value with {self._last()}"
        total = f"{counted(len(self.configurations), 'configuration')}, a budget of {self.budget:g} in all"
        return "\n".join([total, table(rows, right=range(4)), found])


def successive_halving(
    advance: Callable[[list[Any], float], Sequence[float]], configurations: Sequence[Any], budgets: Sequence[float]
) -> Halving:
    """Give all configurations the least budget, and those that are best with it the next, so that each rung costs alike.

        n_k = max(1, floor(n_0 r_0 / r_k))      configurations with the budget r_k: the n_k of the least values before

    Args:
        advance: (configurations, budget) -> a value for each, of which less is better: trains these on until each has
            this budget since its start. A value that is not finite is the worst, and such a configuration never goes on.
        configurations: of any kind; they are handed to `advance`, a part of them at a time, in their order.
        budgets: r_0 < r_1 < ..., epochs, steps or what else `advance` counts; see `rung_budgets`.

    Raises: ValueError for no configuration, for budgets that do not increase from above 0, and for values that are not
        one number for each configuration.
    Reference: Jamieson & Talwalkar 2016, AISTATS; as the inner loop of Li et al. 2018, JMLR 18.

    >>> found = gd.sweeps.successive_halving(lambda xs, budget: [(x - 3) ** 2 + 1 / budget for x in xs], range(9), [1, 3, 9])
    >>> print(found.best, [len(rung.numbers) for rung in found.rungs], found.budget)
    3 [9, 3, 1] 21.0
    """
    configurations, budgets = tuple(configurations), _check_budgets(budgets)
    if not configurations:
        raise ValueError("successive_halving: configurations must be at least one, got none")
    rungs: list[Rung] = []
    numbers = tuple(range(len(configurations)))
    for budget, next_budget in zip(budgets, (*budgets[1:], math.inf), strict=True):
        values = _check_values(advance([configurations[i] for i in numbers], budget), len(numbers))
        room = max(1, math.floor(len(configurations) * budgets[0] / next_budget + 1e-9))
        order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
        kept = tuple(numbers[i] for i in order[:room] if np.isfinite(values[i]))
        rungs.append(Rung(budget, numbers, values, kept))
        numbers = tuple(sorted(kept))
        if not numbers:
            break
    return Halving(configurations, tuple(rungs))


def rung_budgets(least: float, most: float, factor: float = 4) -> list[float]:
    """The budgets of the rungs: each a factor times the one before, the last of them the most.

        r_k = most / factor^(s - k),   k = 0, ..., s,   s = floor(log(most / least) / log(factor))

    Args:
        least: above 0, in epochs or what else is counted; no budget is smaller.
        most: at least `least`. Where it is a whole number, so are all, rounded up.
        factor: above 1; of the configurations on a rung, one in so many goes on.

    Raises: ValueError for other numbers.

    >>> print(gd.sweeps.rung_budgets(5, 100))
    [7, 25, 100]
    """
    for name, number, low in (("least", least, 0), ("factor", factor, 1)):
        if not (is_number(number) and low < number < math.inf):
            raise ValueError(f"rung_budgets: {name} must be a number above {low}, got {brief(number)}")
    if not (is_number(most) and least <= most < math.inf):
        raise ValueError(f"rung_budgets: most must be a number of at least {brief(least)}, got {brief(most)}")
    rungs = math.floor(math.log(most / least) / math.log(factor) + 1e-9)
    found = [most / factor ** (rungs - k) for k in range(rungs + 1)]
    whole = float(most).is_integer()
    return list(dict.fromkeys(math.ceil(budget - 1e-9) for budget in found)) if whole else found


def _check_budgets(budgets: Sequence[float]) -> tuple[float, ...]:
    found = tuple(budgets)
    if not found or any(not a < b for a, b in zip((0, *found), found, strict=False)):
        raise ValueError(f"successive_halving: budgets must increase from above 0, got {brief(list(found))}")
    return found


def _check_values(values: Any, number: int) -> np.ndarray:
    found = np.asarray(values, float)
    if found.shape != (number,):
        raise ValueError(
            f"successive_halving: advance must return a number for each of {number} configurations, got shape {found.shape}"
        )
    return found
