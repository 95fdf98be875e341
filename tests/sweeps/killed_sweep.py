"""A sweep that kills itself: python killed_sweep.py FOLDER SEGMENTS."""

import os
import signal
import sys

import numpy as np

import gdjax as gd
from gdjax.sweeps import blocks, store

store.SECONDS = blocks.SECONDS = 0.0  # a checkpoint after each evaluation


def sweep(folder, tell=lambda _: None, resume=False):
    """Three blocks of a small regression with dropout, whose runs stop at different times."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5], np.float32) + draw.normal(size=60).astype(np.float32)).astype(np.float32)
    model = gd.models.mlp((3, 4, None), dropout=0.2)
    return gd.sweep(
        gd.per_example(gd.supervised(model, gd.losses.squared_error)),
        model,
        gd.adam(0.1),
        (x[:40], y[:40]),
        (x[40:], y[40:]),
        axes={"learning_rate": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]},
        seeds=2,
        epochs=12,
        batch_size=16,
        stop=gd.stopping.patience(2),
        width=4,
        keep_params=True,
        out=folder,
        resume=resume,
        tell=tell,
    )


def main(folder, segments):
    """Run, or go on, and die after so many segments."""
    seen = []

    def tell(progress):
        seen.append(progress)
        if len(seen) == segments:
            os.kill(os.getpid(), signal.SIGKILL)

    sweep(folder, tell, resume=os.path.exists(folder))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
