"""A training run on a cluster: `gd.runs.train` in each of several workers."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gdjax import runs
from gdjax.cluster.engine import ClusterJob, run_job


def train(
    data: Any,
    target: str | None = None,
    out: Any = None,
    *,
    workers: int = 2,
    min_workers: int | None = None,
    resources: Mapping[str, float] | None = None,
    max_restarts: int = 3,
    **options: Any,
) -> Any:
    """Train a model as `gd.runs.train` does, by several workers on a cluster of Ray, and return the run.

    It is the cluster that Ray is connected to, else the one that runs here or that RAY_ADDRESS names, else a local one. Ray
    starts the workers, and when one is lost all start again from the newest checkpoint in the run folder.

    Args:
        data, target, out, options: as for `gd.runs.train`; files and the run folder must be where all hosts reach them, and
            `devices` is the number of each worker.
        workers: how many processes, over whose devices a batch is divided.
        min_workers: how many suffice to start, or to start again, where the cluster has no room for more; when it has more
            room later, they start again with more (default: all).
        resources: that a worker takes of the cluster, such as {"CPU": 4} or {"GPU": 1} (default: one CPU).
        max_restarts: how many restarts may come without a newer checkpoint.

    Raises:
        ImportError: in one sentence, where Ray is missing.
        ValueError: in one line, for a table, an option or a folder that cannot be used, or a cluster without room.
        RuntimeError: the run has ended NON_FINITE or DIVERGED, or its workers were lost too often.
        Exception: the error of the worker that has failed first.
    """
    given = {**options, "target": target, "out": out}
    read = runs.TrainOptions.named("cluster.train", given)
    folder = read.out or runs.next_folder(runs.name_of(data))
    runs.check_folder(folder, read.overwrite, read.resume)
    given["out"] = Path(folder).absolute()
    job = ClusterJob(
        functools.partial(_train, data, given, _is_wide()),
        folder,
        *(workers, min_workers, read.devices or 1, resources, max_restarts, read.resume),
    )
    remarks: list[str] = []
    outcome = run_job(job, lambda kind, text: remarks.append(text) if kind == "err" else None, "cluster.train")
    for remark in remarks:
        warnings.warn(remark.strip().removeprefix("gdjax: "), stacklevel=2)
    if outcome.error is not None:
        outcome.error.add_note(outcome.text)
        raise outcome.error
    if outcome.code:
        raise RuntimeError(f"cluster.train: {outcome.text}")
    return runs.load(folder)


def _is_wide() -> bool:
    return bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]


def _train(data: Any, options: Mapping[str, Any], is_wide: bool, goes_on: bool) -> int:
    """The run, in a worker."""
    jax.config.update("jax_enable_x64", is_wide)
    again = {"resume": True, "overwrite": False} if goes_on else {}
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            runs.train(data, **{**options, **again})
        finally:
            for remark in remarks:
                print(f"{remark.message}", file=sys.stderr)
    return 0
