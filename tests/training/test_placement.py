"""A run on eight devices is the run on one, in a child process, and what `placement` turns down."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gdjax as gd
from gdjax.training._placement import Placement, check_placement

PROGRAM = Path(__file__).with_name("placed_on_eight.py")


@pytest.mark.parametrize("checks", ["suite", pytest.param("nightly", marks=pytest.mark.nightly)])
def test_a_run_on_eight_devices_is_that_on_one(checks):
    """See placed_on_eight.py."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(
        [sys.executable, PROGRAM, checks], env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


LINE = jax.make_mesh((1,), ("data",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"mesh": 8},
            r"placement: mesh must be a Mesh of devices, write jax.make_mesh\(\(8,\), \('data',\)\), got int",
        ),
        ({"data": "dat"}, "placement: the mesh has no axis 'dat'; did you mean 'data'"),
        ({"data": ()}, r"placement: data must be at least one axis of the mesh, each of them once, got \(\)"),
        (
            {"params": "zero"},
            "placement: params must be None, 'fsdp', or a dict of patterns with their PartitionSpecs, got 'zero'",
        ),
        ({"params": {"w": "data"}}, "placement: 'w' must have a jax.sharding.PartitionSpec, got 'data'"),
        ({"params": {"w": P("modl")}}, "placement: the mesh has no axis 'modl'"),
        ({"rows": "all"}, "placement: rows must be one of replicated, sharded, local, got 'all'"),
        ({"data": ("data", "data")}, "data must be at least one axis of the mesh, each of them once"),
        ({"data": 3}, "data must be at least one axis of the mesh, each of them once, got 3"),
        ({"params": P("data")}, "must be None, 'fsdp', or a dict of patterns with their PartitionSpecs"),
        ({"params": {"w": P("data", "data")}}, "'w' must have each axis of the mesh at most once"),
        ({"params": {"(": P("data")}}, r"'\(' must be a regular expression: missing"),
    ],
)
def test_what_a_placement_cannot_be(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        gd.placement(**{"mesh": LINE, **options})


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"bais": P()}, "placement: 'bais' must be found in one of the paths '0.bias', '0.w'; did you mean '0.bias'"),
        ({"w": P(None, None, "data")}, r"at most as many entries as '0\.w' has axes, got a leaf of shape \(3, 4\)"),
    ],
)
def test_patterns_that_do_not_fit_the_parameters(rules, words):
    params = [{"w": np.ones((3, 4)), "bias": np.ones(4)}]
    with pytest.raises(ValueError, match=words):
        gd.make_state(params, gd.sgd(0.1), placement=gd.placement(LINE, params=rules))


def test_a_mesh_is_no_placement():
    squares, state = lambda w, rows: jnp.mean((w - rows) ** 2), (0.0, gd.sgd(0.1))
    for rung in (
        lambda: gd.make_state(*state, placement=LINE),
        lambda: gd.make_epoch(gd.make_step(squares), placement=LINE),
        lambda: gd.make_evaluate(squares, placement=LINE),
        lambda: gd.fit(squares, *state, np.ones(3), placement=LINE),
    ):
        with pytest.raises(TypeError, match=r"write placement=gd\.placement"):
            rung()


def test_a_mesh_that_lacks_processes_is_refused_at_once(monkeypatch):
    """They would be waited for; a mesh of this process alone needs none."""
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    mesh = lambda *owners: SimpleNamespace(  # noqa: E731
        devices=np.array([SimpleNamespace(process_index=each) for each in owners])
    )
    for owners in ((0, 1), (1,)):
        place = Placement(mesh(*owners), ("data",), None, "replicated")
        for rung in (
            lambda place=place: gd.make_state(0.0, gd.sgd(0.1), placement=place),
            lambda place=place: gd.fit(len, 0.0, gd.sgd(0.1), np.ones(3), placement=place),
        ):
            with pytest.raises(ValueError, match="of this process alone, or of all 3 processes, got those of"):
                rung()
    for owners in ((0,), (0, 1, 2)):
        check_placement("fit", Placement(mesh(*owners), ("data",), None, "replicated"))


def test_the_cause_is_told_of_parameters_on_an_explicit_mesh():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    put = lambda x, *spec: jax.device_put(x, NamedSharding(mesh, P(*spec)))  # noqa: E731
    params, rows = {"w": put(np.zeros((3, 3)), None, "data"), "b": put(np.zeros(3))}, (np.ones((4, 3)), np.full(4, 7))
    loss = gd.losses.supervised(gd.models.dense(3, 3), gd.losses.softmax_cross_entropy_with_integer_labels)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\), got 7"):
        gd.make_evaluate(loss)(params, rows)


def test_placements_are_equal_by_value_and_automatic_inside():
    explicit = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    same = [gd.placement(mesh, params={"w": P("data")}) for mesh in (LINE, explicit)]
    assert same[0] == same[1] and hash(same[0]) == hash(same[1]) and same[0] != gd.placement(LINE)
    assert set(same[1].mesh.axis_types) == {AxisType.Auto}
