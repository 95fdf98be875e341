"""Data sets by name: `load("digits")`, `load("moons", n=500)`, `load("table.csv", target="price")`.

    bundled     real data that come with scikit-learn; nothing is downloaded
    synthetic   a formula, noise and a seed of NumPy's generator
    files       any other name, of a file with a table of numbers, see `gdjax.data.files`

`SOURCES` is the whole list; `describe(name)` describes an entry in one line.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.calls import check_interval
from gdjax.data._mnist1d import draw
from gdjax.data.arrays import Dataset
from gdjax.data.errors import nearest
from gdjax.data.text import CORPORA


def load(name: str | os.PathLike[str], **options: Any) -> Dataset:
    """A data set: a name in `SOURCES`, or a file with a table of numbers.

    Args:
        name: e.g. "digits", "moons", "table.csv".
        **options: arguments of the source, e.g. `n`, `noise`, `seed`; for a file, `target` and `task`.

    Raises: ValueError for a name or an option that does not exist, DataError for a bad file, ImportError if
        scikit-learn is missing; all in one line.

    >>> wine = gd.data.load("wine")
    >>> print(wine.x.shape, wine.target_names)
    (178, 13) ('class_0', 'class_1', 'class_2')
    """
    from gdjax.data.files import read

    name = os.fspath(name)
    is_file = name not in SOURCES and (Path(name).suffix != "" or os.sep in name or Path(name).exists())
    if not is_file and name not in SOURCES:
        raise ValueError(f"load: no data set {name!r}; {nearest(name, SOURCES)}")
    source, arguments = (read, (name,)) if is_file else (SOURCES[name], ())
    known = list(inspect.signature(source).parameters)[len(arguments) :]
    for option in options:
        if option not in known:
            raise ValueError(f"load: {name} has no option {option!r}; {nearest(option, known)}")
    return source(*arguments, **options)


def describe(name: str) -> str:
    """What a data set of `SOURCES`, or a text of `CORPORA`, is, in one line.

    >>> print(gd.data.describe("digits"))
    Handwritten digits: 1,797 images of 8 x 8 pixels in [0, 1], 10 classes (Alpaydin & Kaynak 1998).
    """
    return (inspect.getdoc({**CORPORA, **SOURCES}[name]) or "").partition("\n")[0]


# Bundled with scikit-learn.


def digits() -> Dataset:
    """Handwritten digits: 1,797 images of 8 x 8 pixels in [0, 1], 10 classes (Alpaydin & Kaynak 1998)."""
    return _sklearn_dataset("digits", unit=16, shape=(8, 8, 1))


def breast_cancer() -> Dataset:
    """Breast cancer: 569 tumors, 30 measures of cell nuclei, malignant or benign (Wolberg et al. 1995)."""
    return _sklearn_dataset("breast_cancer")


def wine() -> Dataset:
    """Wine: 178 wines, 13 chemical measures, 3 cultivars (Forina et al. 1988)."""
    return _sklearn_dataset("wine")


def iris() -> Dataset:
    """Iris: 150 flowers, 4 lengths in cm, 3 species (Fisher 1936)."""
    return _sklearn_dataset("iris")


def diabetes() -> Dataset:
    """Diabetes: 442 patients, 10 standardized measures, progression after a year (Efron et al. 2004)."""
    return _sklearn_dataset("diabetes")


def _sklearn_dataset(name: str, unit: float = 1, shape: tuple[int, ...] = ()) -> Dataset:
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(f"{name}: scikit-learn is needed: pip install 'gdjax[lab]'") from error
    bunch = getattr(datasets, f"load_{name}")()
    classes = tuple(map(str, bunch.get("target_names", ())))
    return Dataset(
        name=name,
        x=np.asarray(bunch.data / unit, np.float32),
        y=np.asarray(bunch.target, np.int32 if classes else np.float32),
        task="classification" if classes else "regression",
        feature_names=tuple(map(str, bunch.feature_names)),
        target_names=classes,
        description=describe(name),
        shape=shape,
    )


# Synthetic data.


def moons(n: int = 1000, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Two interleaving half circles in the plane.

        class 0: (cos t, sin t)        class 1: (1 - cos t, 1/2 - sin t)        t uniform in [0, pi]

    Args:
        n: rows, at least 2; classes take turns.
        noise: >= 0; standard deviation added to each coordinate.
        seed: of NumPy's generator.
    """
    rng, labels = _begin("moons", n, 2, noise, seed)
    t = rng.uniform(0, np.pi, n)
    x = np.where(labels == 0, (np.cos(t), np.sin(t)), (1 - np.cos(t), 0.5 - np.sin(t))).T
    return _synthetic("moons", x + noise * rng.standard_normal(x.shape), labels)


def circles(n: int = 1000, noise: float = 0.05, factor: float = 0.5, seed: int = 0) -> Dataset:
    """Two concentric circles, which no straight line separates.

        class 0: (cos t, sin t)        class 1: factor (cos t, sin t)        t uniform in [0, 2 pi)

    Args:
        n: rows, at least 2; classes take turns.
        noise: >= 0; standard deviation added to each coordinate.
        factor: in (0, 1); radius of the inner circle.
        seed: of NumPy's generator.
    """
    check_interval("circles", "factor", factor, "(0, 1)")
    rng, labels = _begin("circles", n, 2, noise, seed)
    t = rng.uniform(0, 2 * np.pi, n)
    x = np.where(labels == 0, 1, factor)[:, None] * np.stack((np.cos(t), np.sin(t)), axis=1)
    return _synthetic("circles", x + noise * rng.standard_normal(x.shape), labels)


def blobs(n: int = 1000, classes: int = 3, features: int = 2, noise: float = 1.0, seed: int = 0) -> Dataset:
    """Round normal clouds, one for each class, about centers uniform in [-10, 10]^features.

    Args:
        n: rows, at least one for each class; classes take turns.
        classes, features: at least 1.
        noise: >= 0; standard deviation of a cloud in each coordinate.
        seed: of NumPy's generator.
    """
    check_interval("blobs", "features", features, "[1, inf)")
    rng, labels = _begin("blobs", n, classes, noise, seed)
    centers = rng.uniform(-10, 10, (classes, features))
    return _synthetic("blobs", centers[labels] + noise * rng.standard_normal((n, features)), labels)


def spirals(n: int = 1000, arms: int = 3, turns: float = 1.0, noise: float = 0.03, seed: int = 0) -> Dataset:
    """The arms of a spiral in the unit disc, one for each class.

        x = r (cos a, sin a)        a = 2 pi (turns r + class / arms)        r uniform in [0, 1)

    Args:
        n: rows, at least one for each arm; classes take turns.
        arms: at least 1.
        turns: of an arm from the center to the rim.
        noise: >= 0; standard deviation added to each coordinate; arms are 1 / (arms turns) apart.
        seed: of NumPy's generator.
    """
    rng, labels = _begin("spirals", n, arms, noise, seed)
    r = rng.uniform(0, 1, n)
    angle = 2 * np.pi * (turns * r + labels / arms)
    x = r[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    return _synthetic("spirals", x + noise * rng.standard_normal(x.shape), labels)


def linear_regression(n: int = 1000, features: int = 5, noise: float = 0.1, seed: int = 0) -> Dataset:
    """A plane with noise: y = 1/2 + x_0 - x_1 / 2 + x_2 / 3 - ... + noise.

        w_j = (-1)^j / (j + 1)        x, noise normal, x with mean 0 and variance 1

    Args:
        n, features: at least 1.
        noise: >= 0; standard deviation of y about the plane.
        seed: of NumPy's generator.
    """
    check_interval("linear_regression", "features", features, "[1, inf)")
    rng, _ = _begin("linear_regression", n, 1, noise, seed)
    x = rng.standard_normal((n, features))
    weights = (-1.0) ** np.arange(features) / np.arange(1, features + 1)
    return _synthetic("linear_regression", x, 0.5 + x @ weights + noise * rng.standard_normal(n))


def mnist1d(n: int = 5000, seed: int = 42) -> Dataset:
    """MNIST-1D: 5,000 series of 40 steps, 10 classes of a stroke that is shifted and noisy (Greydanus 2020).

    Args:
        n: rows, a multiple of 10; a fifth of them, the last ones, are the test rows.
        seed: of NumPy's legacy generator; 42 gives the standard rows.

    Reference: Greydanus & Kobak 2020, "Scaling down deep learning with MNIST-1D", arXiv:2011.14439.
    """
    if n < 10 or n % 10:
        raise ValueError(f"mnist1d: n must be a positive multiple of 10, got {n}")
    x, labels = draw(n, seed)
    found = _synthetic("mnist1d", x, labels.astype(np.int32))
    return dataclasses.replace(found, x=x, shape=(x.shape[1], 1), test_rows=n - int(0.8 * n))


def _begin(who: str, n: int, classes: int, noise: float, seed: int) -> tuple[np.random.Generator, np.ndarray]:
    """A random generator, and alternating labels: 0, 1, ..., C-1, 0, 1, ..."""
    check_interval(who, "classes", classes, "[1, inf)")
    check_interval(who, "n", n, f"[{classes}, inf)")
    check_interval(who, "noise", noise, "[0, inf)")
    return np.random.default_rng(seed), np.arange(n, dtype=np.int32) % classes


def _synthetic(name: str, x: np.ndarray, y: np.ndarray) -> Dataset:
    is_labels = y.dtype == np.int32
    return Dataset(
        name=name,
        x=x.astype(np.float32),
        y=y if is_labels else y.astype(np.float32),
        task="classification" if is_labels else "regression",
        feature_names=tuple(f"x{j}" for j in range(x.shape[1])),
        target_names=tuple(map(str, range(y.max() + 1))) if is_labels else (),
        description=describe(name),
    )


SOURCES: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist1d": mnist1d,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "iris": iris,
    "diabetes": diabetes,
    "moons": moons,
    "circles": circles,
    "blobs": blobs,
    "spirals": spirals,
    "linear_regression": linear_regression,
}
