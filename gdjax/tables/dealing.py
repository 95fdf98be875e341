"""Rows dealt to parts at random: stratified, and whole where rows belong together."""

from __future__ import annotations

import numpy as np

from gdjax.data.arrays import apportion, largest_remainder


def deal_rows(labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The number of the part of each row.

    Each class has its exact share of the rows in each part, rounded up or down, if no rows belong together. Where some do,
    their groups are dealt first, the largest ones first, each to the part that lacks most of its classes and has room for
    it; single rows fill what is left.

    Args:
        labels: (n,) the class of each row, from 0 on; all 0 for a regression.
        groups: (n,) a number from 0 on that the rows share that belong together.
        shares: of the parts, together 1.
    """
    lacking = apportion(np.bincount(labels), shares, generator)
    part = np.full(len(labels), -1)
    sizes = np.bincount(groups)
    order = generator.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    by_group = np.argsort(groups, kind="stable")
    starts = np.concatenate(([0], np.cumsum(sizes)))
    for group in order[: np.count_nonzero(sizes > 1)]:
        rows = by_group[starts[group] : starts[group + 1]]
        part[rows] = _place(labels[rows], lacking, shares, generator)
    for label, counts in enumerate(lacking):
        rows = generator.permutation(np.flatnonzero((labels == label) & (part < 0)))
        part[rows] = np.repeat(np.arange(len(shares)), _fill(counts, len(rows)))
    return part


def _place(labels: np.ndarray, lacking: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> int:
    """The part to which a group goes; what this part lacks is reduced by it."""
    counts = np.bincount(labels, minlength=len(lacking))
    wanted = counts @ lacking / shares + 1e-9 * generator.random(len(shares))
    has_room = lacking.sum(0) >= len(labels)
    chosen = int(np.where(has_room | ~has_room.any(), wanted, -np.inf).argmax())
    lacking[:, chosen] -= counts
    return chosen


def _fill(lacking: np.ndarray, rows: int) -> np.ndarray:
    """How many single rows each part gets: what it lacks, or a share of the rows in proportion to that."""
    lacking = np.maximum(lacking, 0)
    if lacking.sum() == rows:
        return lacking
    weights = lacking if lacking.any() else np.ones_like(lacking)
    return largest_remainder(rows * weights / weights.sum())
