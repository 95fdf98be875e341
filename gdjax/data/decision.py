"""The task of a target: classes or numbers, and why.

text, yes/no                                          classes
two whole numbers                                     classes
few whole numbers from 0 or 1 on, nearly without gaps classes, unless they look like counts or their name measures
long whole numbers with uneven gaps, few of them      classes (zip codes), as whatever is named as a code
all other numbers                                     regression
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gdjax.data.names import CODING, MEASURING, says

MOST_CODES = 30
MOST_NAMED = 1000
ROWS_A_CLASS = 5
RARE = 10  # a count's rarest value is so many times rarer than its most frequent one


class Decision(NamedTuple):
    """The task of a target, and the reason in words."""

    task: str
    reason: str


def decide(name: str, values: np.ndarray | None, levels: int) -> Decision:
    """The task that fits the target.

    Args:
        values: the numbers that are present; None for text and yes/no.
        levels: the number of different texts.
    """
    if values is None:
        return Decision("classification", f"{levels} different texts")
    distinct, counts = np.unique(values, return_counts=True)
    if not np.all(distinct == np.round(distinct)):
        return Decision("regression", f"{len(distinct):,} different numbers, not all of them whole")
    if len(distinct) == 2:
        return Decision("classification", "two whole numbers")
    return _of_whole_numbers(name, distinct, counts)


def _of_whole_numbers(name: str, distinct: np.ndarray, counts: np.ndarray) -> Decision:
    levels, rows = len(distinct), int(counts.sum())
    said = f"{levels:,} different whole numbers"
    if rows < ROWS_A_CLASS * levels:
        return Decision("regression", said)
    word = says(name, CODING | MEASURING)
    if word in CODING and levels <= MOST_NAMED:
        return Decision("classification", f"{said}, and its name says {word}")
    if levels > MOST_CODES:
        return Decision("regression", said)
    if word:
        return Decision("regression", f"{said}, but its name says {word}")
    if _are_long_codes(distinct):
        return Decision("classification", f"{said} of five or more digits with uneven gaps look like codes")
    if distinct[0] not in (0, 1) or levels < 0.75 * (distinct[-1] - distinct[0] + 1):
        return Decision(
            "regression", f"{said} from {distinct[0]:.0f} to {distinct[-1]:.0f}, which look like measurements"
        )
    if _are_counts(counts):
        return Decision("regression", f"{said}, the larger the rarer, look like counts")
    return Decision("classification", f"{said} from {distinct[0]:.0f} on look like codes")


def _are_long_codes(distinct: np.ndarray) -> bool:
    gaps = np.diff(distinct).astype(np.int64)
    if not len(gaps):
        return False
    return bool(distinct[0] >= 10_000 and np.gcd.reduce(gaps) < 5 and gaps.max() >= 5 and len(set(gaps.tolist())) > 1)


def _are_counts(counts: np.ndarray) -> bool:
    """The frequencies rise to their mode and fall after it, and the rarest value is RARE times rarer than the mode."""
    mode, steps = int(counts.argmax()), np.diff(counts)
    has_one_mode = bool(np.all(steps[:mode] >= 0) and np.all(steps[mode:] <= 0))
    return has_one_mode and counts[0] > counts[-1] and counts.max() >= RARE * counts.min()
