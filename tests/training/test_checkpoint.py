"""Checkpoints: what was saved comes back to the last bit, or it is refused by name; nothing that was committed is lost."""

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

import gdjax as gd
from experiments.bench import corrupt_checkpoints
from experiments.bench.corrupt_checkpoints import bits, content
from gdjax import files, stopping
from gdjax.certify.examples import EXAMPLES, WRAPPER_EXAMPLES, example_calls
from gdjax.certify.suite import SHAPES
from gdjax.optimizers import OPTIMIZERS
from gdjax.training import checkpoint, checkpoints, identity
from gdjax.training.checkpoints import steps_to_keep
from gdjax.training.manifest import seal, unseal

DATA = jnp.array([1.0, 3.0])
RUN = gd.make_run(gd.make_epoch(gd.make_step(lambda w, rows: jnp.mean((w["w"] - rows[:, None]) ** 2)), batch_size=1))
IDENTITY = {"data": "two numbers", "config": {"rate": 0.1, "sizes": [2, 3]}}


def start(w=(0.5, -1.5), optimizer=None, stop=None):
    params = {"w": jnp.asarray(w, jnp.float32)}
    state = gd.make_state(params, optimizer or gd.adam(gd.cosine_decay_schedule(0.1, 100)), 3)
    return gd.start_run(RUN, state, stop or stopping.any_of(stopping.patience(60), stopping.divergence()), DATA, None)


START = start()


def draw(step, run_state=START):
    """A state whose every leaf is of this step."""
    rng = np.random.default_rng(step)

    def of(x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                jnp.asarray(rng.integers(0, 2**32, jax.random.key_data(x).shape, np.uint32))
            )
        return jnp.asarray(rng.integers(0, 1000, x.shape).astype(x.dtype))

    drawn = jax.tree.map(of, run_state._replace(history={}))
    state = drawn.state._replace(batches=jnp.int32(step))
    history = {
        name: rng.normal(size=(step // 2, *x.shape[1:])).astype(x.dtype) for name, x in run_state.history.items()
    }
    return drawn._replace(state=state, best_value=jnp.asarray(1 / (1 + step), float), history=history)


at = functools.cache(draw)


def save_steps(folder, *steps, **options):
    with gd.Checkpoints(folder, IDENTITY, **{"keep_last": 9, **options}) as saved:
        for step in steps:
            saved.save(at(step), {"offset": 10 * step})


def restore(folder, identity=IDENTITY):
    return gd.Checkpoints(folder, identity).restore(START)


ODD = {
    "nan": np.array([0x7FC00001, 0xFFC12345, 0x80000000], np.uint32).view(np.float32),
    "complex": jnp.array([1 - 2j, jnp.nan * 1j]),
    "bfloat16": jnp.array([[1.5, -0.0]], jnp.bfloat16),
    "half": jnp.array([6e-8], jnp.float16),
    "e4m3": jnp.array([0.5, -448.0], jnp.float8_e4m3fn),
    "e5m2": jnp.array([0.5], jnp.float8_e5m2),
    "int4": jnp.array([-8, 7, 3], jnp.int4),
    "bool": jnp.array([[True], [False]]),
    "int8": jnp.array(-3, jnp.int8),
    "empty": jnp.zeros((0, 3)),
    "none": None,
    "weak": jnp.full((2,), 0.1),
    "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    "keys": jax.random.split(jax.random.key(1), (2, 3)),
    "rbg": jax.random.key(2, impl="rbg"),
    "odd [name]'/": np.int64(-(2**40)),
}


def test_every_kind_of_leaf_returns_bitwise_and_every_tool_reads_the_file(tmp_path):
    run_state = START._replace(state=START.state._replace(params=ODD, model_state=(np.float64(0.1), 3, True)))
    gd.save_run(tmp_path / "run", run_state)
    zeros = jax.tree.map(lambda x: x if hasattr(x, "dtype") and "key" in str(x.dtype) else x * 0, run_state)
    zero = zeros.state.params | {"int4": ODD["int4"], "bool": ~ODD["bool"]}
    like = zeros._replace(state=zeros.state._replace(params=zero, model_state=(np.float64(0), 0, False)))
    got = gd.load_run(tmp_path / "run", like)
    assert got.state.model_state == (0.1, 3, True) and [type(x) for x in got.state.model_state[1:]] == [int, bool]
    assert bits(got) == bits(run_state)
    data = (tmp_path / "run" / "arrays.safetensors").read_bytes()
    read = dict(safetensors.deserialize(data))
    header = int.from_bytes(data[:8], "little")
    begins = {name: at["data_offsets"][0] for name, at in json.loads(data[8 : 8 + header]).items()}
    widths = {
        name: int(found[1]) // 8 for name in begins if (found := re.fullmatch(r"[A-Z]+(\d+)", read[name]["dtype"]))
    }
    assert header % 8 == 0 and all(begins[name] % width == 0 for name, width in widths.items())
    assert len(read) == len(jax.tree.leaves(run_state))
    of = lambda name: read[f".state.params['{name}']"]  # noqa: E731
    assert (of("bfloat16")["dtype"], of("bfloat16")["shape"]) == ("BF16", [1, 2])
    assert np.frombuffer(of("complex")["data"], np.float32).view(np.complex64)[0] == 1 - 2j
    assert (of("complex")["shape"], of("keys")["shape"], of("empty")["shape"]) == ([2, 2], [2, 3, 2], [0, 3])
    assert np.frombuffer(of("transposed")["data"], np.float32).tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]


def test_the_state_of_every_optimizer_and_wrapper_returns_bitwise(tmp_path):
    """All of them in one file, with random entries."""
    calls = {name: example_calls(name)[0] for name in OPTIMIZERS} | {name: EXAMPLES[name]()[-1] for name in EXAMPLES}
    calls |= {f"{name} around": make()[0] for name, make in WRAPPER_EXAMPLES.items()}
    params = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}
    calls = {name: call.canonicalize(on_host=True) for name, call in calls.items()}
    shapes = {name: (call, jax.eval_shape(call.init, params)) for name, call in calls.items()}
    numbers = iter(range(10**6))

    def draw(x):
        if isinstance(x, jax.ShapeDtypeStruct) and not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return np.full(x.shape, next(numbers), x.dtype)
        return jax.random.key(next(numbers)) if isinstance(x, jax.ShapeDtypeStruct) else x

    first, other = (jax.tree.map(draw, shapes) for _ in range(2))
    put = lambda states: START._replace(state=START.state._replace(opt_state=states))  # noqa: E731
    gd.save_run(tmp_path / "run", put(first))
    assert len(calls) > 90 and bits(first) != bits(other)
    assert bits(gd.load_run(tmp_path / "run", put(other))) == bits(put(first))


def test_a_loop_with_checkpoints_goes_on_as_if_it_had_never_stopped(tmp_path):
    def train(until_step):
        with gd.Checkpoints(tmp_path / "saved", IDENTITY, keep_last=2) as saved:
            run_state, before = saved.restore(START) or (start(), None)
            for run_state in gd.segments(RUN, run_state, DATA, until=7, seconds=0, batches=1, keep=False):  # noqa: B020
                saved.save(run_state, {"rows": int(run_state.evaluations)})
                if int(run_state.state.batches) == until_step:
                    return run_state, before

    *_, whole = gd.segments(RUN, start(), DATA, until=7, seconds=0)
    inside, before = train(5)
    assert before is None and int(inside.taken) == 1, "cut inside an epoch"
    resumed, before = train(14)
    assert before == {"rows": 2} and bits(resumed) == bits(whole)
    assert len(whole.history["loss"]) == 7 and isinstance(resumed.history["loss"], np.ndarray)
    with gd.Checkpoints(tmp_path / "saved", IDENTITY) as saved:
        assert saved.steps == [13, 14]
        assert bits(saved.restore(START)) == bits((whole, {"rows": 7})), "of another length of history"


def test_a_stack_of_states_is_saved_as_it_is(tmp_path):
    lanes = jax.tree.map(lambda *xs: jnp.stack(xs), start(), start((3.0, 4.0)), start((5.0, 6.0)))
    lanes = lanes._replace(state=lanes.state._replace(batches=jnp.array([4, 9, 2])), history=dict(lanes.history))
    with gd.Checkpoints(tmp_path) as saved:
        saved.save(lanes)
        assert bits(saved.restore(lanes)[0]) == bits(lanes) and saved.steps == [9]
    longer = lanes._replace(history=jax.tree.map(lambda x: jnp.zeros((3, 5)).astype(x.dtype), lanes.history))
    assert bits(gd.load_run(tmp_path / "9", longer)) == bits(lanes)
    with pytest.raises(gd.CheckpointError, match=r"\.history\['epoch'\] must have shape \(2, 128\) as in.* \(3, 128"):
        gd.load_run(tmp_path / "9", lanes._replace(history=jax.tree.map(lambda x: x[:2], lanes.history)))


def test_what_does_not_fit_is_refused_with_its_path_and_never_cast(tmp_path):
    gd.save_run(tmp_path / "run", START)
    put = lambda **parts: START._replace(state=START.state._replace(**parts))  # noqa: E731
    twelve = r"_conditions\[1\]|of the run, \.\.\."
    for like, message in (
        (
            put(params={"w": jnp.zeros(3)}),
            r"run: \.state\.params\['w'\] must have shape \(3,\) as in the run, got \(2,\)",
        ),
        (
            put(params={"w": jnp.zeros((2, 1))}),
            r"\.state\.params\['w'\] must have shape \(2, 1\) as in the run, got \(2,\)",
        ),
        (
            put(params={"w": jnp.zeros(2, jnp.float16)}),
            r"params\['w'\] must have dtype float16 as in the run, got float32",
        ),
        (put(params={"w": jnp.zeros(2, int)}), r"params\['w'\] must have dtype int32 as in the run, got float32"),
        (put(params={"v": jnp.zeros(2)}), r"it lacks \.state\.params\['v'\], which the run has"),
        (put(params={}), r"it has \.state\.params\['w'\], which the run has not"),
        (put(key=jax.random.key(0, impl="rbg")), r"\.state\.key must have dtype key<rbg> as in the run, got key<fry>"),
        (put(key=jax.random.split(START.state.key)), r"\.state\.key must have shape \(2,\) as in the run, got \(\)"),
        (START._replace(history=START.history | {"other": jnp.zeros(128)}), r"it lacks \.history\['other'\]"),
        (start(optimizer=gd.adam(gd.cosine_decay_schedule(0.1, 9), nesterov=True)), twelve + ".*nesterov=True"),
        (start(optimizer=gd.lion(0.1)), r"\.state\.opt"),
    ):
        with pytest.raises(gd.CheckpointError, match=message) as error:
            gd.load_run(tmp_path / "run", like)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    for wrong in (None, START.state, "run"):
        with pytest.raises(TypeError, match="like must be a RunState"):
            gd.load_run(tmp_path / "run", wrong)
        with pytest.raises(TypeError, match="run_state must be a RunState"):
            gd.save_run(tmp_path / "other", wrong)
    assert bits(gd.load_run(tmp_path / "run", start((9.0, 9.0), gd.adam(gd.cosine_decay_schedule(0.5, 7))))) == bits(
        START
    )


def test_another_identity_is_refused_by_the_names_that_differ(tmp_path, monkeypatch):
    gd.save_run(tmp_path / "run", START, IDENTITY)
    load = lambda given, **options: gd.load_run(tmp_path / "run", START, given, **options)  # noqa: E731
    assert bits(load(IDENTITY)) == bits(load(None)) == bits(START)
    for given, message in (
        (IDENTITY | {"data": "others"}, "it is of another run: data is 'two numbers', here 'others'$"),
        (IDENTITY | {"config": {"rate": 0.2, "sizes": (2, 3)}}, r"config\.rate is 0\.1, here 0\.2$"),
        (IDENTITY | {"config": {"rate": 0.1, "sizes": [2]}}, r"config\.sizes is \[2, 3\], here \[2\]$"),
        ({"config": IDENTITY["config"]}, "data is 'two numbers', here not given$"),
        (IDENTITY | {"seed": 3}, "seed is not given, here 3$"),
        (
            IDENTITY | {"cores": 999, "platform": "abacus"},
            r"cores is \d+, here 999; platform is 'cpu: cpu', here 'abacus'$",
        ),
    ):
        with pytest.raises(gd.CheckpointError, match=message):
            load(given)
    assert bits(load({"seed": 3, "config": {"rate": 0.1}}, ignore=("data", "seed", "config.sizes"))) == bits(START)
    assert bits(load(IDENTITY | {"data": "others"}, ignore="data")) == bits(START), "one name is no set of letters"
    with pytest.raises(TypeError, match="identity must be of JSON's types"):
        gd.save_run(tmp_path / "other", START, {"data": DATA})
    present = identity.installed_version
    monkeypatch.setattr(identity, "installed_version", lambda name: "0.9.9" if name == "jax" else present(name))
    with pytest.raises(gd.CheckpointError, match=r"another run: versions\.jax is '.*', here '0\.9\.9'$"):
        load(IDENTITY)
    assert bits(load(IDENTITY, ignore=("versions",))) == bits(START)
    with pytest.warns(UserWarning, match=r"other bits: versions\.jax is '.*', here '0\.9\.9'$") as warned:
        assert bits(load(None)) == bits(START)
    assert warned[0].filename == __file__


class Twins:
    """Two leaves of one path."""


TWINS = [(jax.tree_util.GetAttrKey("x"), value) for value in (1.0, 2.0)]
jax.tree_util.register_pytree_with_keys(Twins, lambda x: (TWINS, None), lambda *_: Twins())


def test_what_cannot_be_saved_is_refused_with_its_path(tmp_path, monkeypatch):
    put = lambda params: START._replace(state=START.state._replace(params=params))  # noqa: E731
    for params, message in (
        ({"w": np.array(["text"])}, r"save_run: \.state\.params\['w'\] must be an array of numbers, got dtype <U4"),
        ({"w": np.arange(3, dtype=">f4")}, r"\['w'\] must be an array of numbers, got dtype >f4"),
        (Twins(), "each leaf must have a path of its own"),
    ):
        with pytest.raises(gd.CheckpointError, match=message):
            gd.save_run(tmp_path / "run", put(params))
    monkeypatch.setattr(type(START.stop), "is_fully_addressable", property(lambda x: x.shape != (2,)))
    with pytest.raises(gd.CheckpointError, match=r"lies on devices of several hosts needs jax\.distributed"):
        gd.save_run(tmp_path / "run", START)
    assert not (tmp_path / "run").exists()


def forge(folder, edit):
    """Change the manifest of a step and seal it again, as if its text had been written so."""
    manifest = unseal((folder / "manifest.json").read_bytes())
    edit(manifest)
    (folder / "manifest.json").write_bytes(seal(manifest))


@pytest.mark.parametrize("sealed", [False, True], ids=["", "sealed again"])
def test_a_leaf_of_another_name_step_or_run_is_found(tmp_path, sealed):
    """Even if the manifest is changed with it: a digest covers its leaf's name, the step and the identity."""
    save_steps(tmp_path, 4, 6)
    last = tmp_path / "6"

    def swap(there, here, name, other):
        """Put the bytes (and the digest) of a leaf in the place of another's."""
        (header, rest), (_, old) = (
            checkpoint.read_container(folder / "arrays.safetensors") for folder in (here, there)
        )
        (begin, end), (first, _) = (json.loads(header[8:])[each]["data_offsets"] for each in (name, other))
        new = bytes(rest[:begin]) + bytes(old[first : first + end - begin]) + bytes(rest[end:])
        (here / "arrays.safetensors").write_bytes(header + new)
        digest = unseal((there / "manifest.json").read_bytes())["leaves"][other]["sha256"]
        if sealed:
            forge(here, lambda manifest: manifest["leaves"][name].update(sha256=digest))

    keep = tmp_path / "keep"
    shutil.copytree(last, keep)
    mu, nu = (f".state.opt_state.slots['{slot}']['w']" for slot in ("mu", "nu"))
    for damage, message in (
        (lambda: swap(keep, last, mu, nu), r"slots\['mu'\]\['w'\] is not what was written"),
        (lambda: swap(tmp_path / "4", last, mu, mu), r"slots\['mu'\]\['w'\] is not what was written"),
        (
            lambda: forge(last, lambda m: m["identity"].update(data="others")),
            "of another run: data is 'others', here",
        ),
    ):
        shutil.rmtree(last)
        shutil.copytree(keep, last)
        damage()
        with pytest.warns(UserWarning, match=f"step 4 is restored, not step 6: it is .*{message}"):
            run_state, extra = restore(tmp_path)
        assert bits(run_state) == bits(at(4)) and extra == {"offset": 40}
    if sealed:  # the files of another run, under the identity of this one
        with gd.Checkpoints(tmp_path / "another", {"data": "another"}) as saved:
            saved.save(at(6))
        shutil.rmtree(last)
        (tmp_path / "another" / "6").rename(last)
        forge(last, lambda manifest: manifest.update(identity=gd.Checkpoints(tmp_path, IDENTITY).identity))
        with pytest.warns(UserWarning, match="not step 6: it is damaged: .* is not what was written"):
            assert bits(restore(tmp_path)[0]) == bits(at(4))


@pytest.mark.parametrize("sealed", [False, True], ids=["", "sealed again"])
def test_an_older_step_renamed_is_found(tmp_path, sealed):
    save_steps(tmp_path, 4, 6)
    shutil.copytree(tmp_path / "4", tmp_path / "8")
    if sealed:
        forge(tmp_path / "8", lambda manifest: manifest.update(step=8))
    message = "damaged: .* is not what was written" if sealed else "step 4, under another name"
    with pytest.warns(UserWarning, match=f"step 6 is restored, not step 8: it is {message}"):
        assert bits(restore(tmp_path)[0]) == bits(at(6))


def test_no_byte_can_change_unseen(tmp_path):
    """Also of a header's spaces and types, which this reader does not need but others do; nor can one be added."""
    gd.save_run(tmp_path, START)
    rng = np.random.default_rng(5)
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        places = {*rng.integers(len(whole), size=60), *rng.integers(min(len(whole), 3000), size=60), len(whole)}
        for place in places:
            new = (whole[place] if place < len(whole) else 0) ^ 1 << rng.integers(8)
            path.write_bytes(whole[:place] + bytes([new]) + whole[place + 1 :])
            with pytest.raises(gd.CheckpointError, match="it is damaged"):
                checkpoint.read_checkpoint(tmp_path).check_leaves()
        path.write_bytes(whole)
    checkpoint.read_checkpoint(tmp_path).check_leaves()


def test_damage_of_every_kind_is_found(tmp_path):
    """Each kind twice; `experiments.bench.corrupt_checkpoints` tries many more, on a real run."""
    states, others = ({step: draw(step + 100 * run) for step in (4, 6, 8)} for run in (0, 1))
    others = {step: x._replace(state=x.state._replace(batches=jnp.int32(step))) for step, x in others.items()}
    saved = corrupt_checkpoints.Saved.make(tmp_path, states, others)
    found = list(corrupt_checkpoints.trials(saved, 2 * len(corrupt_checkpoints.KINDS), seed=11))
    assert {trial.outcome for trial in found} <= set(corrupt_checkpoints.RIGHT), found
    assert sum(trial.matters for trial in found) >= 16 and sum(trial.outcome == "all refused" for trial in found) >= 2


def test_where_no_step_verifies_it_refuses_and_changes_nothing(tmp_path):
    assert restore(tmp_path / "nothing") is None and not (tmp_path / "nothing").exists()
    save_steps(tmp_path / "saved", 4, 6, 8)
    (tmp_path / "saved" / "4" / "manifest.json").unlink()
    (tmp_path / "saved" / "6" / "surplus").touch()
    with open(tmp_path / "saved" / "8" / "arrays.safetensors", "r+b") as file:
        file.truncate(100)
    before = content(tmp_path)
    with pytest.raises(gd.CheckpointError) as error:
        restore(tmp_path / "saved")
    assert content(tmp_path) == before
    for part in (
        "8: it is damaged: arrays.safetensors",
        "6: it is damaged: surplus is not of it",
        "4: it cannot be read",
    ):
        assert part in str(error.value)
    with (
        pytest.raises(gd.CheckpointError, match="holds step 8 already, and this is step 2"),
        gd.Checkpoints(tmp_path / "saved") as saved,
    ):
        saved.save(at(2))
    assert content(tmp_path) == before


def test_a_run_goes_on_over_the_steps_that_were_passed_over(tmp_path):
    save_steps(tmp_path, 4, 6, 8)
    (tmp_path / "8" / "manifest.json").write_text("{}")
    (tmp_path / "6" / "arrays.safetensors").write_bytes(b"")
    with gd.Checkpoints(tmp_path, IDENTITY, keep_last=1) as saved:
        with pytest.warns(UserWarning, match=r"step 4 is restored, not step 8: .*; step 6: "):
            saved.restore(START)
        for step, steps in ((5, [5, 6, 8]), (7, [6, 7, 8]), (8, [6, 8])):
            saved.save(at(step))
            saved.wait()
            assert saved.steps == steps, "what was damaged is left alone until it is written again"
    assert bits(restore(tmp_path)[0]) == bits(at(8))


def test_a_new_run_does_not_write_over_an_older_one(tmp_path):
    save_steps(tmp_path, 4, 6)
    for step in (2, 4, 6):
        with pytest.raises(gd.CheckpointError, match=f"holds step 6 already, and this is step {step}: restore it"):
            gd.Checkpoints(tmp_path).save(at(step))
    save_steps(tmp_path, 8)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text").touch()
    for _ in range(2):  # another program's manifest makes no checkpoint of it
        with pytest.raises(gd.CheckpointError, match="notes exists and is no checkpoint"):
            gd.save_run(tmp_path / "notes", START)
        (tmp_path / "notes" / "manifest.json").write_text("{}")
    (tmp_path / "notes" / "manifest.json").unlink()
    with pytest.raises(gd.CheckpointError, match=r"load_run: .*notes: it cannot be read: No such file"):
        gd.load_run(tmp_path / "notes", START)
    gd.save_run(tmp_path / "8", at(9))
    assert bits(gd.load_run(tmp_path / "8", START)) == bits(at(9)), "save_run replaces a checkpoint"


def test_what_is_no_step_is_left_alone(tmp_path):
    save_steps(tmp_path, 6)
    others = {".config.old", "config", ".notes.0123abcd.tmp", "007", "best"}
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").touch()
    for name in (".4.0123abcd.tmp", ".6.old"):  # of a process that was killed
        (tmp_path / name).mkdir()
    save_steps(tmp_path, 8)
    assert {path.name for path in tmp_path.iterdir()} - others == {"6", "8"}
    assert all((tmp_path / name / "text").exists() for name in others)


def test_which_steps_are_kept(tmp_path):
    values = {1: None, 3: 0.5, 5: 0.5, 8: 0.2, 11: 0.2, 12: 0.1, 19: 0.1, 23: 0.1}
    for (last, best, every), kept in {
        (1, 0, 0): {23},
        (3, 0, 0): {12, 19, 23},
        (9, 0, 0): set(values),
        (1, 1, 0): {12, 23},
        (1, 2, 0): {8, 12, 23},
        (1, 9, 0): {3, 8, 12, 23},
        (1, 0, 5): {5, 11, 19, 23},
        (1, 0, 10): {11, 23},
        (2, 1, 10): {11, 12, 19, 23},
        (1, 0, 100): {23},
    }.items():
        assert steps_to_keep(values, last, best, every) == kept, (last, best, every)
    (tmp_path / ".4.01234567.tmp").mkdir()  # of a process that was killed
    (tmp_path / "notes").mkdir()
    save_steps(tmp_path, 2, 4, keep_last=2)
    save_steps(tmp_path, 6, 11, 12, keep_last=2, keep_every=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["11", "12", "6", "notes"]
    for name, wrong in (("keep_last", 0), ("keep_best", -1), ("keep_every", 2.5)):
        with pytest.raises(ValueError, match=name):
            gd.Checkpoints(tmp_path, **{name: wrong})


def test_a_state_may_be_donated_at_once_and_one_save_waits(tmp_path, monkeypatch):
    written, real = threading.Event(), checkpoints.write_checkpoint
    monkeypatch.setattr(checkpoints, "write_checkpoint", lambda *args: (written.wait(20), real(*args)))
    overwrite = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 + 1, tree), donate_argnums=0)
    with gd.Checkpoints(tmp_path, IDENTITY) as saved:
        for step in (4, 6):
            run_state = draw(step)
            saved.save(run_state)
            overwrite((run_state.state.params, run_state.state.opt_state))
            assert run_state.state.params["w"].is_deleted()
        assert saved.steps == [], "nothing is written yet"
        threading.Timer(0.2, written.set).start()
        before = time.perf_counter()
        saved.save(at(8))
        assert time.perf_counter() - before > 0.1, "a third save is waited for"
    for step in (4, 6, 8):
        assert bits(gd.load_run(tmp_path / str(step), START, IDENTITY)) == bits(at(step))


@contextlib.contextmanager
def full_disk(monkeypatch, folder):
    def fail(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", fail)
        yield


@pytest.fixture
def public():
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def read_only(monkeypatch, folder):
    """Without the rights of root, which no mode stops."""
    folder.chmod(0o555)
    if root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("trouble", "reason"), [(full_disk, "No space left on device"), (read_only, "Permission denied")]
)
def test_a_failed_save_is_an_error_at_the_next_save_or_at_close(public, monkeypatch, trouble, reason):
    folder = public / "saved"
    message = rf"step 6 in {folder} could not be written: {reason}"
    save_steps(folder, 4)
    before = content(public)

    @contextlib.contextmanager
    def saving():
        with gd.Checkpoints(folder, IDENTITY) as saved:
            with trouble(monkeypatch, folder):
                saved.save(at(6))
                for save in saved._pending:
                    save.result()
            yield saved

    with pytest.raises(gd.CheckpointError, match=message), saving():
        pass
    with pytest.raises(ZeroDivisionError) as error, saving():
        1 / 0  # noqa: B018
    assert "could not be written" in error.value.__notes__[0], "the error of the loop is not hidden"
    with trouble(monkeypatch, folder), pytest.raises(gd.CheckpointError, match=f"save_run: .*{reason}"):
        gd.save_run(folder / "4", at(5))
    assert content(public) == before and [path.name for path in folder.iterdir()] == ["4"]
    with saving() as saved:
        with pytest.raises(gd.CheckpointError, match=message):
            saved.save(at(8))
        saved.save(at(10), {"offset": 100})
    assert saved.steps == [4, 10] and bits(restore(folder)) == bits((at(10), {"offset": 100}))
    with pytest.raises(gd.CheckpointError, match="closed"):
        saved.save(at(12))


CHANGES = ((Path, "mkdir"), (Path, "rename"), (Path, "write_bytes"), (os, "fsync"), (shutil, "rmtree"))  # of the disk


@pytest.mark.parametrize("step", [6, 8])
def test_a_crash_at_any_moment_leaves_a_whole_step(tmp_path, monkeypatch, step):
    """The process dies before its k-th change of the disk, for every k, while it replaces step 6, or adds step 8."""

    class Death(BaseException):
        pass

    def dying_after(patch, number):
        alive = iter(range(number))

        def mortal(change):
            def changed(*args, **kwargs):
                if next(alive, None) is None:
                    raise Death
                return change(*args, **kwargs)

            return changed

        for owner, name in CHANGES:
            patch.setattr(owner, name, mortal(getattr(owner, name)))

    save_steps(tmp_path / "begun", 4, 6)
    new = at(step)._replace(stop=jnp.int32(3))
    seen = []
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "begun", folder)
        saved = gd.Checkpoints(folder, IDENTITY, keep_last=1)
        saved.restore(START)
        snapshot = checkpoints.take_snapshot("test", new)
        with monkeypatch.context() as patch:
            dying_after(patch, number)
            with contextlib.suppress(Death):
                saved._commit(snapshot, saved.identity, "new")
                seen.append("ended")
        restored = bits(restore(folder))
        assert restored in (bits((at(6), {"offset": 60})), bits((new, "new"))), number
        seen.append(restored == bits((new, "new")))
        save_steps(folder, 10, keep_last=1)
        assert [path.name for path in folder.iterdir()] == ["10"], "nothing of the dead process is left"
        if "ended" in seen:
            break
    assert seen[0] is False and seen[-1] is True and number > 8


def test_a_step_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Power may fail: the files, then the folder of their names, and the folder of the new name after it."""
    seen = []
    sync, rename = files.sync, Path.rename
    monkeypatch.setattr(files, "sync", lambda path: (seen.append(path.name), sync(path)))
    monkeypatch.setattr(Path, "rename", lambda path, to: (seen.append(to.name), rename(path, to)))
    save_steps(tmp_path / "saved", 4)
    draft = seen[2]
    assert draft.startswith(".4.")
    assert sorted(seen[:2]) == ["arrays.safetensors", "manifest.json"] and seen[2:] == [draft, "4", "saved"]


PROCESS = """
import jax, os, resource, sys, time
import jax.numpy as jnp
sys.path.insert(0, "tests/training")
import test_checkpoint as test
import gdjax as gd
from gdjax.training import checkpoints

root = sys.argv[1]
mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
move = lambda x: x._replace(state=x.state._replace(params=jax.device_put(x.state.params, spread)))
got = gd.load_run(root + "/first", move(test.START), test.IDENTITY)
assert got.state.params["w"].sharding == spread and test.bits(got) == test.bits(test.at(4))
real = checkpoints.write_checkpoint
checkpoints.write_checkpoint = lambda *args: (time.sleep(0.5), real(*args))
saved = gd.Checkpoints(root + "/saved", test.IDENTITY)
saved.save(move(test.at(6)), {"offset": 60})
saved.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
saved.save(test.at(8))
saved = None
"""


def test_another_process_reads_it_on_other_devices_and_exits_without_close(tmp_path):
    gd.save_run(tmp_path / "first", at(4), IDENTITY)
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command, root = [sys.executable, "-c", PROCESS, str(tmp_path)], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=os.environ | flags, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"gdjax: Checkpoints: step 8 in {tmp_path}/saved could not be written: File too large" in done.stderr
    assert bits(restore(tmp_path / "saved")) == bits((at(6), {"offset": 60}))
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["6"]
