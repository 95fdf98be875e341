"""Notebooks for the class: one for each theme of the lectures, made to be changed.

    python -c "from experiments.notebooks import copy_to; copy_to('.')"      then open them in Jupyter

(of a wheel, gdjax.lab.notebooks)

minimum            searches, rates and starts in one variable
bowls              one rate for steep and flat directions, momentum, adaptive rates
backpropagation    the graph of an expression, the pass layer by layer, a wrong gradient found by its layer
mini_batches       batch sizes, the noise of the gradient, when to stop
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NOTEBOOKS = tuple(sorted(Path(__file__).parent.glob("*.ipynb")))


def copy_to(folder: str | os.PathLike[str]) -> list[Path]:
    """Copy the notebooks into a folder, which is made if there is none; those that are there already stay as they are."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    new = [path for path in NOTEBOOKS if not (folder / path.name).exists()]
    return [Path(shutil.copy(path, folder)) for path in new]
