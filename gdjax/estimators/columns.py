"""Numbers of a table as an optimizer wants them: around zero, of size one; computed in float64 on the host."""

from __future__ import annotations

import dataclasses

import numpy as np

ROUNDING = 8 * np.finfo(np.float64).eps  # of a mean, relative to the largest entry


@dataclasses.dataclass(frozen=True)
class Columns:
    """x -> (x - center) / scale for each column, and 0 for a constant one."""

    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d,) > 0, in the units of the column
    constant: np.ndarray  # (d,) bool

    @classmethod
    def of(cls, x: np.ndarray, weights: np.ndarray, centered: bool = True) -> Columns:
        """The weighted mean of each column, or 0, and the weighted root of the mean square around it."""
        x = np.asarray(x, np.float64)
        center = np.zeros(x.shape[1])
        if centered:
            center = np.average(x, axis=0, weights=weights)
            center = center + np.average(x - center, axis=0, weights=weights)  # what rounding left of a large mean
        far = np.max(np.abs(x - center), axis=0)  # squares would underflow at 1e-200
        constant = far <= ROUNDING * np.max(np.abs(x), axis=0)
        unit = np.where(constant, 1, far)
        root = np.sqrt(np.average(((x - center) / unit) ** 2, axis=0, weights=weights))
        return cls(center, np.where(constant, 1, unit * root), constant)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The scaled numbers, float64."""
        return np.where(self.constant, 0, (np.asarray(x, np.float64) - self.center) / self.scale)

    def revert(self, x: np.ndarray) -> np.ndarray:
        """The numbers in the units of the table."""
        return np.asarray(x, np.float64) * self.scale + self.center

    def stretched(self, add: float) -> Columns:
        """The same with scale² + add for scale²: the units in which data and a penalty together have size one."""
        return dataclasses.replace(self, scale=np.hypot(self.scale, np.sqrt(add)))


def room_for_rows(size: int) -> int:
    """The next of a few numbers, 256, 1,024, 4,096 and eight to each power of two beyond: tables share a program."""
    return _next(size, (256, 1024, 4096))


def room_for_columns(size: int) -> int:
    """The next of a few numbers: 16, 64 and eight to each power of two beyond."""
    return _next(size, (16, 64))


def _next(size: int, few: tuple[int, ...]) -> int:
    step = 1 << max(int(size - 1).bit_length() - 4, 0)
    return next((each for each in few if size <= each), -(-size // step) * step)


def widen(x: np.ndarray, size: int, by: float = 0.0) -> np.ndarray:
    """An array with columns of a number, 0 if no other is given, added at its end; so the entries of a vector."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])], constant_values=by)
