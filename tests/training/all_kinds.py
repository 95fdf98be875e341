"""One model of all kinds that laws could fail on, small: batch norm, dropout."""

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import metrics, models

TIME, SIZE = 4, 3
MODEL = models.serial(
    models.unflatten((TIME, SIZE)),
    models.dense(SIZE, 4),
    models.batch_norm(4),
    models.dropout(0.3),
    models.flatten((TIME, 4)),
    models.dense(4 * TIME, 2),
)
LOSS = gd.per_example(
    gd.supervised(MODEL, gd.softmax_cross_entropy_with_integer_labels, {"hits": metrics.correct}),
    penalty=gd.losses.l2(1e-3),
)


def rows(number, dtype=np.float32, seed=0):
    """Series whose first half tells their class, not quite."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(number, TIME * SIZE))
    y = (x[:, : 2 * SIZE].sum(1) + draw.normal(size=number) > 0).astype(np.int32)
    return jnp.asarray(x, dtype), jnp.asarray(y)


def statistics(params, x):
    """The mean and the variance over rows and time of what batch norm sees, in NumPy."""
    dense = jax.tree.map(lambda p: np.asarray(p, float), params[1])
    seen = (np.asarray(x, float).reshape(-1, SIZE) @ dense["w"] + dense["b"]).reshape(-1, 4)
    return seen.mean(0), seen.var(0)
