"""A row of a certificate, and the limits that all certificates share."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

DTYPES = ("float64", "float32", "bfloat16")
TIMES_OPTAX = 4.0  # tolerated ratio of our rounding error and Optax's, below double precision
DESCENT = 0.5  # tolerated loss of the oracle's descent, if rounding leaves nothing else to compare


class Row(NamedTuple):
    """One comparison. `limit` applies to `relative`; without a limit the figure is only shown, and the note says why."""

    optimizer: str
    reference: str
    dtype: str
    relative: float
    ulp: float
    parted: tuple[str, int, str] | None  # (case, step, leaf) of the first difference above the limit
    limit: float | None
    note: str

    @property
    def passed(self) -> bool:
        return self.limit is None or self.relative <= self.limit


def below_double_limit(its: float | None, dtype: str) -> tuple[float | None, str]:
    """(limit, note) from Optax's distance to its oracle; no limit if that distance is meaningless."""
    if its is None:
        return None, "not judged: Optax has no counterpart to say how near one can come; see descent"
    limit = max(TIMES_OPTAX * its, 64 * float(jnp.finfo(dtype).eps))
    if limit <= 1:
        return limit, f"Optax: {its:.1e}"
    return None, f"not comparable: Optax itself is {its:.1e} from the oracle; see descent"
