"""The numbers of MNIST-1D, drawn as its authors draw them."""

from __future__ import annotations

import numpy as np

LENGTH = 40
PADDING = 36, 60  # zeros behind a template, at least and at most
SHIFT = 48  # places, below
SCALE, CORRELATED, INDEPENDENT, SHEAR = 0.4, 0.25, 0.02, 0.75
HEIGHTS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n series (n, LENGTH) of mean 0 and variance 1 together, in random order, and their classes (n,).

    The generator is NumPy's legacy one, whose stream the authors' numbers come from.
    """
    random = np.random.RandomState(seed)
    labels = np.repeat(np.arange(10), n // 10)
    x = np.stack([_distorted(template, random) for template in np.repeat(_templates(), n // 10, axis=0)])
    order = random.permutation(len(labels))
    x, labels = x[order], labels[order]
    return (x - x.mean()) / x.std(), labels


def _templates() -> np.ndarray:
    """(10, 12): the strokes of the digits, which begin and end at 0."""
    x = np.array(HEIGHTS)
    x -= x.mean(1, keepdims=True)
    x /= x.std(1, keepdims=True)
    return (x - x[:, :1]) / 6.0


def _distorted(template: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A template padded, stretched, scaled, shifted, with noise and a slope."""
    from scipy.ndimage import gaussian_filter

    low, high = PADDING
    padded = np.concatenate([template + 1e-8, np.zeros(low + int(random.rand() * (high - low + 1)))])
    x = _resampled(padded, len(template) + high)
    x *= 1 + SCALE * (random.rand() - 0.5)
    x = np.roll(x, random.choice(SHIFT))
    x = np.where(x != 0, x, gaussian_filter(CORRELATED * random.randn(len(x)), 2))
    x = x + INDEPENDENT * random.randn(len(x))
    slope = SHEAR * (random.rand() - 0.5)
    return _resampled(x - slope * np.linspace(-0.5, 0.5, len(x)), LENGTH)


def _resampled(x: np.ndarray, length: int) -> np.ndarray:
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(x)), x)
