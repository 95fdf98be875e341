"""The seed of the split apart from that of the run, and the order in which a run reads its rows."""

import dataclasses

import jax
import numpy as np
import pytest

import gdjax as gd
from gdjax import runs
from gdjax.runs.job import run_through

OPTIONS = {"hidden": (4,), "epochs": 2, "batch_size": 32, "ensemble": 1, "tune": "none", "learning_rate": 0.05}


def chosen(**options):
    return runs.choose("wine", runs.TrainOptions(**OPTIONS, **options), "gdjax train wine")


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def rows(work):
    return bits((work.parts.train, work.parts.validation, work.parts.test))


def test_the_split_has_a_seed_of_its_own(tmp_path):
    """Rows and folds go by --split-seed, parameters and order by --seed; evaluate finds the rows again."""
    both, own, split = chosen(seed=5, split_seed=3), chosen(seed=5), chosen(seed=3)
    assert rows(both) == rows(split) != rows(own)
    assert [work.config.split_seed for work in (both, own, split)] == [3, 5, 3]
    first = [bits(runs.prepare(work.job, work.parts).run_state.state.params) for work in (both, own, split)]
    assert first[0] == first[1] != first[2]
    folds = [work.problem.folds(3, runs.TrainOptions(**seeds)) for work, seeds in (
        (both, {"seed": 5, "split_seed": 3}), (split, {"seed": 3}), (split, {"seed": 5}))]  # fmt: skip
    assert np.array_equal(*folds[:2]) and not np.array_equal(*folds[1:])

    given = {**OPTIONS, "quick": True, "quiet": True, "seed": 5, "split_seed": 3}
    run = runs.train("wine", out=tmp_path / "run", **given)
    assert run.config.command == (
        "gdjax train wine --hidden 4 --ensemble 1 --tune none --learning-rate 0.05 --batch-size 32 --epochs 2 --seed 5 "
        f"--split-seed 3 --out {tmp_path / 'run'} --quick --quiet"
    )
    table = runs.reevaluation(run)
    assert all(f"{run.result[part]['loss']:.6f}" in table for part in ("train", "validation", "test"))
    data = dataclasses.replace(run.config.data, reading={"missing": ["NA"]})  # as earlier versions took of a data set
    assert runs.reevaluation(dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))) == table
    with pytest.raises(ValueError, match="`missing` is of reading a file, and 'wine' is none"):
        chosen(missing=("NA",))
    assert chosen(missing=("NA",), resume=True).config.data.reading == data.reading
    page = (tmp_path / "run" / "report.html").read_text()
    assert "seed 5, of the split 3; " in page
    with pytest.raises(ValueError, match="`split_seed` must be at least 0, got -1"):
        chosen(split_seed=-1)


def test_the_rows_come_in_the_order_asked_for():
    """The bits of `gd.fit` with that order, which differ; those of a shuffle are held by all other runs."""
    found = []
    for order in ("replacement", "sequence"):
        work = chosen(order=order)
        job, base = work.job, jax.random.key(0)
        params = job.objective.model.init(jax.random.fold_in(base, 2))
        length = {"epochs": 2, "batch_size": 32, "order": order, "key": jax.random.fold_in(base, 1)}
        fitted = gd.fit(job.objective.loss, params, job.optimizer, *work.parts[:2], stop=job.stop, **length)
        found.append(bits(run_through(job, work.parts).run_state.state.params))
        assert found[-1] == bits(fitted.last.params) and work.config.order == order
    assert len({tuple(each) for each in found}) == 2
    options = {"model": "softmax_regression", "order": "replacement"}
    assert (
        runs.choose("wine", runs.TrainOptions(**options), "").job.batch_size == 32
    )  # draws from a whole batch lack rows


def test_any_number_of_a_run_is_set_by_its_path():
    """The optimizer and the condition are those of calls with these numbers; the rate stays that of its option."""
    found = chosen(optimizer="adam", patience=7, set=("optimizer.b1=0.8", "eps=1e-6", "evaluations=3"))
    assert found.job.optimizer == gd.adam(0.05, b1=0.8, eps=1e-6) and found.job.stop == gd.stopping.patience(3)
    assert found.config.optimizer == "adam(0.05, b1=0.8, eps=1e-06)"
    below = chosen(weight_decay=0.1, set=("optimizer.inner.b1=0.8",)).job.optimizer
    assert below.inner.b1 == 0.8 and below.weight_decay == 0.1
    for said, error in (
        ("b1", "`set` must be a path and a number, such as optimizer.inner.b1=0.8, got 'b1'"),
        ("b1=x", "`set` must be a path and a number"),
        ("b1=0.8,0.9", "`set` must be a path and a number"),
        ("b3=0.8", "`set`: no argument 'b3'"),
        ("b1=1.5", "optimizer.inner.b1 = 1.5: adam: b1 must be"),
    ):
        with pytest.raises(ValueError, match=error):
            chosen(set=(said,))
