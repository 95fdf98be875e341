"""A sweep on a local cluster of two workers, one of which is lost."""

import os
import signal

import jax
import numpy as np
import pytest

import gdjax as gd

# Ray forks to start its parts; JAX has threads by then, if another file's tests came before
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")]
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    optimizations = {"JAX_DISABLE_MOST_OPTIMIZATIONS": os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")}
    paths = {"PYTHONPATH": os.pathsep.join(os.environ.get("PYTHONPATH", "").split(os.pathsep))}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": optimizations | paths})
    yield
    ray.shutdown()


def swept(engine, lost=None, **options):
    """Six rates and two seeds; the first worker that draws parameters dies of it."""
    draw, here = np.random.default_rng(0), os.getpid()
    x = draw.normal(size=(60, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5], np.float32)).astype(np.float32)
    model = gd.models.mlp((3, 4, None), dropout=0.2)

    def init(key):
        if lost is not None and os.getpid() != here and not lost.exists():
            lost.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return model.init(key)

    axes = {"learning_rate": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]}
    data, validation = (x[:40], y[:40]), (x[40:], y[40:])
    loss = gd.per_example(gd.supervised(model, gd.losses.squared_error))
    stop = gd.stopping.patience(2)
    how = {"seeds": 2, "epochs": 12, "batch_size": 16, "stop": stop, "width": 3, "keep_params": True, "engine": engine}
    return gd.sweep(loss, init, gd.adam(0.1), data, validation, axes=axes, **how, **options)


def test_a_cluster_that_loses_a_worker_finds_the_same_table(cluster, tmp_path):
    seen = []
    remote = swept("ray", tmp_path / "lost", out=tmp_path / "sweep", tell=seen.append)
    assert (tmp_path / "lost").exists() and seen[-1].done == 12
    local = swept("local")
    for name, column in local.columns.items():
        assert column.tobytes() == remote.columns[name].tobytes(), name
    same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), local.params, remote.params)
    assert all(jax.tree.leaves(same))
    assert seen[-1].best == min(local.best_value)


def test_an_error_in_a_block_is_that_of_the_sweep(cluster):
    with pytest.raises(ValueError, match="engine must be 'local' or 'ray', got 'spark'"):
        swept("spark")
