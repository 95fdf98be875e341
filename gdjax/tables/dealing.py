"""Rows dealt to parts at random: stratified, and whole where rows belong together."""

from __future__ import annotations

import numpy as np

from gdjax.data.arrays import apportion


def deal_rows(labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The number of the part of each row.

    Rows are dealt one by one, each class by its exact shares, rounded up or down. Then each group goes to the part of one of
    its rows, drawn at random, and what this changes in the sizes is repaired: by groups first, the largest ones first, and
    then by single rows. Rows that belong together and are dealt to one part anyway change nothing for all others.

    Args:
        labels: (n,) the class of each row, from 0 on; all 0 for a regression.
        groups: (n,) a number from 0 on that the rows share that belong together.
        shares: of the parts, together 1.
    """
    sizes = apportion(np.bincount(labels), shares, generator)
    part = np.empty(len(labels), int)
    for label, counts in enumerate(sizes):
        rows = generator.permutation(np.flatnonzero(labels == label))
        part[rows] = np.repeat(np.arange(len(shares)), counts)
    drawn = generator.permutation(len(labels))
    found, first = np.unique(groups[drawn], return_index=True)
    if len(found) == len(labels):
        return part
    part = part[drawn[first]][groups]
    excess = np.zeros_like(sizes)
    np.add.at(excess, (labels, part), 1)
    excess -= sizes
    _move_groups(part, labels, groups, excess, generator)
    _move_rows(part, labels, np.bincount(groups)[groups] == 1, excess, generator)
    return part


def _move_groups(part, labels, groups, excess, generator) -> None:
    """Move groups, the largest ones first, each to the part where it makes the excess smallest."""
    sizes = np.bincount(groups)
    order = generator.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    by_group, starts = np.argsort(groups, kind="stable"), np.concatenate(([0], np.cumsum(sizes)))
    for group in order[: np.count_nonzero(sizes > 1)]:
        if not excess.any():
            return
        rows = by_group[starts[group] : starts[group + 1]]
        own = part[rows[0]]
        classes, counts = np.unique(labels[rows], return_counts=True)
        there, counts = excess[classes], counts[:, None]
        cost = (abs(there + counts) - abs(there)).sum(0) + (abs(there - counts) - abs(there)).sum(0)[own]
        cost[own] = 0
        best = int(cost.argmin())
        excess[classes, own] -= counts[:, 0]
        excess[classes, best] += counts[:, 0]
        part[rows] = best


def _move_rows(part, labels, is_single, excess, generator) -> None:
    """Move single rows, drawn at random, from parts with too many rows of their class to parts with too few."""
    for label in np.flatnonzero(excess.any(axis=1)):
        spare = []
        for own in np.flatnonzero(excess[label] > 0):
            rows = np.flatnonzero(is_single & (labels == label) & (part == own))
            spare.append(generator.permutation(rows)[: excess[label, own]])
        rows = np.concatenate(spare) if spare else np.empty(0, int)
        wanted = np.repeat(np.arange(excess.shape[1]), np.maximum(-excess[label], 0))
        moved = min(len(rows), len(wanted))
        part[rows[:moved]] = generator.permutation(wanted)[:moved]
