"""A run folder reads back bit by bit, or is said to be damaged: nothing in between, whatever has happened to its files."""

import dataclasses
import hashlib
import io
import json
import zipfile

import jax
import numpy as np
import pandas
import pytest
from test_config import CONFIG

import gdjax as gd
from gdjax import models
from gdjax.data import Scaling
from gdjax.runs import folder as record
from gdjax.runs import list_runs
from gdjax.runs.arrays import Kept
from gdjax.runs.intervals import Calibration, Folds
from gdjax.runs.json_text import to_text
from gdjax.runs.records import Records

FILES = ("config.json", "metrics.jsonl", "result.json", "encoding.json", "SHA256SUMS", "params.npz")
FRAME = pandas.DataFrame({name: [-1.5, 4.0, 0.5, 3.0] for name in "abc"})


def config(task="regression", model="mlp((3, 3, 1))", intervals=None):
    """What identifies a run."""
    names = ("no", "yes") if task == "classification" else ()
    rows = {"train": 6, "validation": 2, "calibration": 3, "test": 1}
    columns = ("a", "b", "c")
    data = dataclasses.replace(CONFIG.data, task=task, target_names=names, rows=rows, columns=columns)
    loss = "squared_error" if task == "regression" else "softmax_cross_entropy_with_integer_labels"
    return dataclasses.replace(CONFIG, data=data, model=model, loss=loss, folds=2 if intervals == "folds" else 0)


INTERVALS = {
    None: lambda params: Calibration(np.array([0.5, 0.25, 1.0])),
    "folds": lambda params: Folds(
        np.arange(6.0), np.array([0, 1, 0, 1, 1, 0], np.int32), jax.tree.map(lambda p: np.stack([p, 2 * p]), params)
    ),
}


def write(folder, task="regression", intervals=None):
    """A run as the command line writes it: the same calls in the same order."""
    model = models.mlp((3, 3, 3, None if task == "regression" else 2), activation="tanh")
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), model.init(jax.random.key(0)))
    frame = FRAME.assign(y=np.arange(4.0) ** 2)
    encoding = gd.tables.fit_encoding(
        gd.tables.understand(gd.data.Table(frame, "t", "4 rows"), "y"), frame, np.arange(4)
    )
    target = Scaling(np.float32(7), np.float32(0.25)) if task == "regression" else None
    kept = Kept(params, target, INTERVALS[intervals](params) if task == "regression" else None)
    history = {"loss": np.array([0.5, 0.25]), "epoch": np.array([1.0, 2.0])}
    result = {"stop": "BUDGET", "steps": 12, "test": {"loss": 0.375}}
    (folder / "config.json").write_text(to_text(config(task, repr(model), intervals).to_json()))
    with Records(folder / "metrics.jsonl") as records:
        records.append(history, seconds=1.5)
    record.finish_run(folder, result, kept, encoding)
    return {name: (folder / name).read_bytes() for name in FILES}


def everything(run):
    leaves = [run.config.to_json(), run.result, run.history, repr(run.model)]
    more = run.target, run.intervals and run.intervals.arrays(), run.outputs(run.encoding.transform(FRAME))
    arrays = jax.tree.leaves((run.params, more))
    return json.dumps(leaves), [(np.asarray(x).dtype.name, np.shape(x), np.asarray(x).tobytes()) for x in arrays]


def npz(files, compression=zipfile.ZIP_STORED, **changes):
    """params.npz with some members changed (None: left out), written as anyone can."""
    with np.load(io.BytesIO(files["params.npz"])) as kept:
        arrays = {**dict(kept), **changes}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, x in arrays.items():
            if x is not None:
                data = io.BytesIO()
                np.save(data, x) if isinstance(x, np.ndarray) else data.write(x)
                archive.writestr(f"{name}.npy", data.getvalue())
    return out.getvalue()


def change(text, **changes):
    return json.dumps({**json.loads(text), **changes}).encode()


def damages(files):
    """(file, its bytes): more than 200."""
    rng = np.random.default_rng(1)
    for name, data in files.items():
        for _ in range(22):  # bits flipped
            flipped = bytearray(data)
            flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
            yield name, bytes(flipped)
        for end in rng.integers(0, len(data), 6):
            yield name, data[:end]
        yield name, data + b"more"
        yield name, b"\xff\xfe\x00"
    for name in FILES[:4]:
        for text in (
            "[" * 100_000,
            '{"a":' * 50_000,
            "[]",
            "null",
            '"x"',
            "1" * 5000,
            '{"dtype": 1e999}',
            '{"a": NaN}',
        ):
            yield name, text.encode()
    kept_config = files["config.json"]
    for dtype in ("int32", "complex64", "float16", "float8", "bfloat16", 3, None, ["float32"], {}):
        yield "config.json", change(kept_config, dtype=dtype)
    deep = "-" * 20_000 + "1"
    for model in (
        "mlp",
        "mlp((3, 3, 3))",
        "mlp((3, 3, 3, 10**9))",
        "adam()",
        "os.system('x')",
        7,
        None,
        [],
        f"mlp({deep})",
        "(",
    ):
        yield "config.json", change(kept_config, model=model)
    for model in (f"mlp((3, {2**70}, 1))", f"mlp((3, {2**31}, {2**31}, 1))", "mlp((3, 3, 3, None), activation='relu')"):
        yield "config.json", change(kept_config, model=model)
    for data in (None, {}, [], {"task": "classification"}, {"task": 5}):
        yield "config.json", change(kept_config, data=data)
    ones = np.ones(3, np.float32)
    for place in ("target.mean", "intervals['distances']", "target.scale", "params[1]['w']"):
        for x in (
            None,
            ones[:2],
            ones * np.nan,
            ones.astype(int),
            np.array(["a"]),
            np.ones((0, 3)),
            np.ones((3, 3)),
            b"x",
        ):
            yield "params.npz", npz(files, **{place: x})
    with np.load(io.BytesIO(files["params.npz"])) as kept:
        one, other = "params[0]['w']", "params[1]['w']"  # of one shape
        yield "params.npz", npz(files, **{one: kept[other], other: kept[one]})
        yield "params.npz", npz(files, **{"intervals['distances']": kept["intervals['distances']"][::-1].copy()})
        yield "params.npz", npz(files, **{one: np.asfortranarray(kept[one])})
    for scale in (0 * ones[0], -ones[0], np.float16(1), ones[0].astype(">f4"), np.complex64(1)):
        yield "params.npz", npz(files, **{"target.scale": np.asarray(scale)})
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }"
    yield "params.npz", npz(files, **{"target.mean": header.ljust(127) + b"\n"})
    yield "params.npz", npz(files, zipfile.ZIP_DEFLATED, **{"target.mean": np.zeros(30_000_000, np.float32)})


@pytest.mark.parametrize("task, intervals", [("regression", None), ("regression", "folds"), ("classification", None)])
def test_a_run_reads_back_as_it_was_written(tmp_path, task, intervals):
    """Its predictions are those of NumPy, and its intervals those of the definition."""
    write(tmp_path, task, intervals)
    run = record.load(tmp_path)
    assert run.config.data.task == task and [row["loss"] for row in run.history] == [0.5, 0.25]
    standardized = (FRAME - FRAME.mean()) / FRAME.std(ddof=0)

    def network(params):
        hidden = standardized.to_numpy()
        for i, layer in enumerate(params):
            hidden = hidden @ np.asarray(layer["w"], float) + np.asarray(layer["b"], float)
            hidden = np.tanh(hidden) if i < 2 else hidden
        return hidden

    found = run.predict(FRAME, level=0.7 if task == "regression" else None)
    if task == "classification":
        with pytest.raises(ValueError, match="`level` is of the intervals of numbers"):
            run.predict(FRAME, level=0.7)
        powers = np.exp(network(run.params))
        np.testing.assert_allclose(
            found[["probability_no", "probability_yes"]], powers / powers.sum(1, keepdims=True), 1e-5
        )
        assert list(found["prediction"]) == [("no", "yes")[i] for i in powers.argmax(1)]
        return
    center = network(run.params)[:, 0] * 0.25 + 7
    np.testing.assert_allclose(found["prediction"], center, rtol=1e-5)
    if intervals is None:  # the third of three distances, ceil(4 * 0.7) = 3
        low, high = center - 1, center + 1
    else:  # ceil(7 * 0.7) = 5
        folds = [network(jax.tree.map(lambda p, k=k: p[k], run.intervals.params))[:, 0] * 0.25 + 7 for k in (0, 1)]
        of_rows = np.stack([folds[k] for k in (0, 1, 0, 1, 1, 0)])
        high = np.sort(of_rows + np.arange(6.0)[:, None], axis=0)[4]
        low = np.sort(of_rows - np.arange(6.0)[:, None], axis=0)[::-1][4]
    np.testing.assert_allclose(found["low"], low, rtol=1e-5)
    np.testing.assert_allclose(found["high"], high, rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"`level` must be at most 0.(75|8571), as [36] rows set the intervals, got 0.99"
    ):
        run.predict(FRAME.iloc[:2], level=0.99)


def test_damage_is_told_and_never_read(tmp_path):
    files = write(tmp_path)
    right = everything(record.load(tmp_path))
    tried = told = 0
    for name, data in damages(files):
        if data == files[name]:
            continue
        (tmp_path / name).write_bytes(data)
        tried += 1
        try:
            assert everything(record.load(tmp_path)) == right, (name, data[:300])
        except record.RecordError as error:
            told += 1
            assert "\n" not in str(error) and len(str(error)) < 600
        (tmp_path / name).write_bytes(files[name])
    assert tried > 200 and told > 0.9 * tried


def test_hashes_of_earlier_versions_are_checked(tmp_path):
    """They stand in params.npz, each as sha256.NAME; a run that has lost those of either kind is not read."""
    files = write(tmp_path)
    right = everything(record.load(tmp_path))
    (tmp_path / "SHA256SUMS").unlink()
    with pytest.raises(record.RecordError, match="SHA256SUMS is missing"):
        record.load(tmp_path)
    of_file = lambda name: np.frombuffer(hashlib.sha256(files[name]).digest(), np.uint8)  # noqa: E731
    hashes = {f"sha256.{name}": of_file(name) for name in FILES[:4]}
    (tmp_path / "params.npz").write_bytes(npz(files, **hashes))
    assert everything(record.load(tmp_path)) == right and list_runs(tmp_path)[0].status == "BUDGET"
    for name in FILES[:4]:
        (tmp_path / name).write_bytes(files[name] + b"\n")
        said = f"{name} must be what was written with the parameters, got another content"
        with pytest.raises(record.RecordError, match=said):
            record.load(tmp_path)
        assert list_runs(tmp_path)[0].status == f"damaged: {said}"
        (tmp_path / name).write_bytes(files[name])


def test_what_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    """A member that claims, or would unpack to, more than its array needs is never opened."""
    files = write(tmp_path)
    opened = []
    inner = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda self, info, *a: opened.append(info.file_size) or inner(self, info, *a)
    )
    for place in ("params[0]['w']", "target.mean", "unknown"):
        bomb = npz(files, zipfile.ZIP_DEFLATED, **{place: np.zeros(4_000_000, np.uint8)})
        assert len(bomb) < 30_000
        (tmp_path / "params.npz").write_bytes(bomb)
        with pytest.raises(record.RecordError, match="uncompressed"):
            record.load(tmp_path)
    (tmp_path / "params.npz").write_bytes(npz(files, **{"params[2]['w']": np.zeros((1000, 1000), np.float32)}))
    with pytest.raises(record.RecordError, match="of at most"):
        record.load(tmp_path)
    assert max(opened) < 1000
