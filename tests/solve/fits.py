"""The fits among the problems of Moré, Garbow & Hillstrom 1981 (ACM TOMS 7(1), 17-41), as formulas over columns.

Each with its standard start and its least sum of squares; the parameters of the minimum where these are printed there or
known in closed form, None where a test computes them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

T = np.arange


@dataclasses.dataclass(frozen=True)
class Fit:
    """y is fitted by a formula of columns and of parameters; the sum of squares, not half of it."""

    formula: str
    columns: dict[str, np.ndarray]
    y: np.ndarray
    start: dict[str, float]
    least: float
    best: dict[str, float] | None = None


def _named(*values: float) -> dict[str, float]:
    return {f"p{i + 1}": float(value) for i, value in enumerate(values)}


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
_GAUSS = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])
_MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
_KOWALIK = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
_DOSES = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
_OSBORNE = [0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628]
_OSBORNE += [0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420]
_OSBORNE += [0.414, 0.411, 0.406]
_PEAKS = [
    1.366,
    1.191,
    1.112,
    1.013,
    0.991,
    0.885,
    0.831,
    0.847,
    0.786,
    0.725,
    0.746,
    0.679,
    0.608,
    0.655,
    0.616,
    0.606,
]
_PEAKS += [0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500]
_PEAKS += [0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708]
_PEAKS += [0.633, 0.668, 0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428]
_PEAKS += [0.292, 0.162, 0.098, 0.054]
_U, _TENTHS = T(1.0, 16.0), T(1, 14) / 10
_HUNDREDTHS = T(1, 11) / 100

FITS = {
    "jennrich_sampson": Fit(
        "exp(t*p1) + exp(t*p2)", {"t": T(1.0, 11.0)}, 2 + 2 * T(1.0, 11.0), _named(0.3, 0.4), 124.36218235561489
    ),
    "bard": Fit(
        "p1 + u/(v*p2 + w*p3)",
        {"u": _U, "v": 16 - _U, "w": np.minimum(_U, 16 - _U)},
        _BARD,
        _named(1, 1, 1),
        8.214877306578994e-3,
    ),
    "gaussian": Fit(
        "p1*exp(-p2*(t - p3)^2/2)",
        {"t": (8 - T(1.0, 16.0)) / 2},
        np.array([*_GAUSS, *_GAUSS[-2::-1]]),
        _named(0.4, 1, 0),
        1.1279327696188623e-8,
    ),
    "meyer": Fit(
        "p1*exp(p2/(t + p3))", {"t": 45 + 5 * T(1.0, 17.0)}, np.array(_MEYER), _named(0.02, 4000, 250), 87.94585517018
    ),
    "gulf": Fit(
        "exp(-abs(p2 - v)^p3/p1)",
        {"v": 25 + (-50 * np.log(_HUNDREDTHS)) ** (2 / 3)},
        _HUNDREDTHS,
        _named(5, 2.5, 0.15),
        0.0,
        _named(50, 25, 1.5),
    ),
    "box": Fit(
        "exp(-t*p1) - exp(-t*p2) - p3*(exp(-t) - exp(-10*t))",
        {"t": T(1, 11) / 10},
        np.zeros(10),
        _named(0, 10, 20),
        0.0,
        _named(1, 10, 1),
    ),
    "kowalik_osborne": Fit(
        "p1*(u^2 + u*p2)/(u^2 + u*p3 + p4)",
        {"u": _DOSES},
        np.array(_KOWALIK),
        _named(0.25, 0.39, 0.415, 0.39),
        3.0750560384924e-4,
    ),
    "brown_dennis": Fit(
        "(p1 + t*p2 - exp(t))^2 + (p3 + p4*sin(t) - cos(t))^2",
        {"t": T(1, 21) / 5},
        np.zeros(20),
        _named(25, 5, -5, -1),
        85822.20162635628,
    ),
    "osborne_1": Fit(
        "p1 + p2*exp(-t*p4) + p3*exp(-t*p5)",
        {"t": 10 * T(0.0, 33.0)},
        np.array(_OSBORNE),
        _named(0.5, 1.5, -1, 0.01, 0.02),
        5.464894697482687e-5,
    ),
    "biggs": Fit(
        "p3*exp(-t*p1) - p4*exp(-t*p2) + p6*exp(-t*p5)",
        {"t": _TENTHS},
        np.exp(-_TENTHS) - 5 * np.exp(-10 * _TENTHS) + 3 * np.exp(-4 * _TENTHS),
        _named(1, 2, 1, 1, 1, 1),
        0.0,
        _named(1, 10, 1, 5, 4, 3),
    ),
    "osborne_2": Fit(
        "p1*exp(-t*p5) + p2*exp(-(t - p9)^2*p6) + p3*exp(-(t - p10)^2*p7) + p4*exp(-(t - p11)^2*p8)",
        {"t": T(0, 65) / 10},
        np.array(_PEAKS),
        _named(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5),
        4.01377362935477e-2,
    ),
}
