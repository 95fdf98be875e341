"""Standard errors of the parameters of a curve, from the Jacobian by singular values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdjax.solve.curve_refinement import rank_tolerance


class Uncertainty(NamedTuple):
    """For p parameters."""

    rank: int  # how many combinations of parameters are determined
    covariance: np.ndarray  # (p, p) of unit variance; NaN for what is not determined, or held at a bound
    undetermined: tuple[tuple[int, ...], ...]  # groups of parameters of which only combinations are determined


def uncertainty(jacobian: np.ndarray, free: np.ndarray) -> Uncertainty:
    """(J'J)^-1, for the columns that are free.

    With the columns scaled to norm 1, J = U S V', a direction V of a singular value that is rounding is not determined,
    nor is any parameter that has a part in it.
    """
    p = jacobian.shape[1]
    covariance = np.full((p, p), np.nan)
    norms = np.linalg.norm(jacobian, axis=0)
    scale = np.where(norms > 0, norms, 1)
    index = np.flatnonzero(free)
    if not index.size:
        return Uncertainty(0, covariance, ())
    triangle = np.linalg.qr(jacobian[:, index] / scale[index], mode="r")
    _, sizes, directions = np.linalg.svd(triangle)
    known = sizes > rank_tolerance(jacobian) * sizes[0]
    loose = np.abs(directions[~known]) > 1e-3
    good = ~loose.any(axis=0)
    spread = directions[known].T / sizes[known]
    part = spread @ spread.T / np.outer(scale[index], scale[index])
    covariance[np.ix_(index[good], index[good])] = part[np.ix_(good, good)]
    return Uncertainty(int(known.sum()), covariance, _groups([index[row] for row in loose]))


def _groups(rows: Sequence[np.ndarray]) -> tuple[tuple[int, ...], ...]:
    """Sets of indices, those that overlap united."""
    groups: list[set[int]] = []
    for row in rows:
        met = [group for group in groups if group & set(row.tolist())]
        groups = [group for group in groups if not group & set(row.tolist())]
        groups.append(set(row.tolist()).union(*met))
    return tuple(tuple(sorted(group)) for group in groups)


def t_quantile(level: float, freedom: float) -> float:
    """How many standard errors a two-sided interval of this level extends to each side; NaN without degrees of freedom.

    Args:
        freedom: of Student's t; inf is the normal distribution.
    """
    from scipy import special  # SciPy comes with JAX

    if freedom == np.inf:
        return float(special.ndtri((1 + level) / 2))
    return float(special.stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else float("nan")
