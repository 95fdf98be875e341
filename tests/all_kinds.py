"""Small models on which laws could fail: with batch norm and dropout, and with attention and recurrence over time too."""

import numpy as np

import gdjax as gd
from gdjax import metrics, models

TIME, SIZE = 4, 3
BEGIN = (models.unflatten((TIME, SIZE)), models.dense(SIZE, 4, bias=False), models.batch_norm(4), models.dropout(0.3))
NORMED = models.serial(*BEGIN, models.flatten((TIME, 4)), models.dense(4 * TIME, 2))
ALL = models.serial(*BEGIN, models.residual(models.attention(4, 2)), models.gru(4, 3, 2))


def loss_of(model, **options):
    measured = {"hits": metrics.correct}
    return gd.per_example(gd.supervised(model, gd.softmax_cross_entropy_with_integer_labels, measured), **options)


def rows(number, dtype=np.float32, seed=0):
    """Series whose first half tells their class, not quite."""
    draw = np.random.default_rng(seed)
    x = draw.normal(0.5, 1.0, size=(number, TIME * SIZE))
    y = (x[:, : 2 * SIZE].sum(1) + draw.normal(size=number) > 3).astype(np.int32)
    return x.astype(dtype), y


def statistics(params, x):
    """The mean and the variance over rows and time of what batch norm sees, in NumPy."""
    seen = np.asarray(x, float).reshape(-1, SIZE) @ np.asarray(params[1]["w"], float)
    return seen.mean(0), seen.var(0)
