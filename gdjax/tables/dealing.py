"""Rows dealt to parts at random: stratified, and whole where rows belong together."""

from __future__ import annotations

import numpy as np

from gdjax.data.arrays import apportion
from gdjax.tables.cells import needs

ROOM = 0.1  # of the rows of a class in a part: by how many of them copies may bend the shares


def deal_rows(
    labels: np.ndarray, groups: np.ndarray, copies: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The number of the part of each row.

    Rows (or groups) are dealt as if no row were a copy; then all copies of a row follow one of them, drawn at random. So
    rows of one part that become equal move no row of another. Only where copies are so many that they bend the shares of a
    class, they are dealt as groups are.

    Args:
        labels: (n,) the class of each row, from 0 on; all 0 for a regression.
        groups, copies: (n,) numbers from 0 on that rows share which belong together.
        shares: of the parts, together 1.
    """
    part = deal_groups(labels, groups, shares, generator)
    together = _joined(groups, copies)
    if together.max() == groups.max():
        return part
    part = _follow(part, together, generator)
    sizes = np.zeros((labels.max() + 1, len(shares)))
    np.add.at(sizes, (labels, part), 1)
    wanted = np.bincount(labels)[:, None] * shares
    if np.all(abs(sizes - wanted) <= np.maximum(ROOM * wanted, 1)):
        return part
    return deal_groups(labels, together, shares, generator)


def deal_groups(
    labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The number of the part of each row, equal for rows of one group.

    Rows are dealt one by one, each class by its exact shares, rounded up or down. Then each group follows one of its rows,
    and what this changes in the sizes is repaired: by groups first, the largest ones first, then by single rows. No part
    is left empty if there are groups enough.
    """
    sizes = apportion(np.bincount(labels), shares, generator)
    part = np.empty(len(labels), int)
    for label, counts in enumerate(sizes):
        rows = generator.permutation(np.flatnonzero(labels == label))
        part[rows] = np.repeat(np.arange(len(shares)), counts)
    if groups.max() + 1 == len(groups):
        return part
    part = _follow(part, groups, generator)
    excess = -sizes
    np.add.at(excess, (labels, part), 1)
    _move_groups(part, labels, groups, excess, generator)
    _move_rows(part, labels, np.bincount(groups)[groups] == 1, excess, generator)
    for empty in np.setdiff1d(np.arange(len(shares)), part).tolist():
        _fill(part, groups, empty)
    return part


def _fill(part: np.ndarray, groups: np.ndarray, empty: int) -> None:
    """Move the smallest group of a part that has several to one that has none."""
    of_group = part[np.unique(groups, return_index=True)[1]]
    sizes = np.where(np.bincount(of_group)[of_group] > 1, np.bincount(groups), len(part) + 1)
    if sizes.min() <= len(part):
        part[groups == sizes.argmin()] = empty


def _follow(part: np.ndarray, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The parts after all rows of a group have followed one of them, drawn at random."""
    drawn = generator.permutation(len(part))
    first = np.unique(groups[drawn], return_index=True)[1]
    return part[drawn[first]][groups]


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups whose rows share a group in one of two divisions, or are connected by such rows, numbered from 0 on."""
    if first.max() + 1 == len(first):
        return second
    count, other = first.max() + 1, second.max() + 1
    graph = needs("scipy.sparse").coo_array((np.ones(len(first)), (first, count + second)), shape=(count + other,) * 2)
    return needs("scipy.sparse.csgraph").connected_components(graph, directed=False)[1][first]


def _move_groups(
    part: np.ndarray, labels: np.ndarray, groups: np.ndarray, excess: np.ndarray, generator: np.random.Generator
) -> None:
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


def _move_rows(
    part: np.ndarray, labels: np.ndarray, is_single: np.ndarray, excess: np.ndarray, generator: np.random.Generator
) -> None:
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
