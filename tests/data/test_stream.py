"""Rows on disk: what is read by its numbers is what was written, and a damaged file is named."""

import json
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gdjax as gd
from gdjax.cli.main import main
from gdjax.data import DataError, open_rows, write_rows

RNG = np.random.default_rng(5)
TREES = {
    "a pair": (RNG.normal(size=(40, 3)), RNG.integers(0, 9, 40)),
    "an array": RNG.normal(size=(33, 2, 2)).astype(np.float32),
    "a tree": {
        "x": [RNG.normal(size=7) + 1j, RNG.random(7) > 0.5],
        "y": (RNG.integers(0, 200, (7, 1)).astype(np.uint8),),
    },
}
SIZE = {"a pair": 40, "an array": 33, "a tree": 7}


def equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", TREES)
def test_a_folder_gives_back_the_rows(name, tmp_path):
    """Whole or in parts, and copied from a source; repeated and unordered numbers too."""
    data, size = TREES[name], SIZE[name]
    whole = write_rows(tmp_path / "whole", data)
    spans = map(slice, (0, 1, size // 2), (1, size // 2, size))
    parts = (gd.data.take(data, span) for span in spans)
    wanted = RNG.integers(0, size, 50)
    for source in (whole, write_rows(tmp_path / "parts", parts), write_rows(tmp_path / "copy", whole)):
        assert len(source) == size and source.digest == whole.digest and isinstance(source, gd.types.Source)
        equal(source.rows(wanted), gd.data.take(data, wanted))
    for i, leaf in enumerate(jax.tree.leaves(data)):
        np.testing.assert_array_equal(np.load(tmp_path / "parts" / f"{i}.npy"), leaf)


def flip(at):
    return lambda x: x[:at] + bytes([x[at] ^ 8]) + x[at + 1 :]


DAMAGE = {  # what is done to which file, and what is said of it
    "short": ("0.npy", lambda x: x[:-8], "0.npy: short: it must have 1088 bytes, got 1080"),
    "long": ("1.npy", lambda x: x + b"0", "1.npy: long: it must have"),
    "missing": ("1.npy", None, "1.npy: missing, though rows.json lists it"),
    "a flipped bit": ("0.npy", flip(-100), "0.npy: corrupt: its entries have another SHA-256"),
    "another dtype": ("1.npy", lambda x: x.replace(b"<i8", b"<u8"), "1.npy: corrupt: it must hold <i8"),
    "no header": ("0.npy", flip(0), "0.npy: corrupt: "),
    "an index cut off": ("rows.json", lambda x: x[:-9], "rows.json: corrupt: "),
    "another index": (
        "rows.json",
        lambda x: x.replace(b'"tuple"', b'"list"'),
        "rows.json: corrupt: it has another SHA",
    ),
    "no index": ("rows.json", None, "rows.json: no such file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named(name, tmp_path):
    file, damage, told = DAMAGE[name]
    write_rows(tmp_path / "rows", TREES["a pair"])
    path = tmp_path / "rows" / file
    content = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(content))
    with pytest.raises(DataError, match=told.replace(".", r"\.")):
        open_rows(tmp_path / "rows")


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    def parts():
        yield np.zeros((2, 3))
        yield np.zeros((2, 4))

    with pytest.raises(ValueError, match=r"one dtype and shape, got float64 \(4,\) after float64 \(3,\)"):
        write_rows(tmp_path / "rows", parts())
    with pytest.raises(TypeError, match="numbers or bools are needed"):
        write_rows(tmp_path / "rows", np.array(["2020-01-01"], "M8[D]"))
    assert list(tmp_path.iterdir()) == []
    write_rows(tmp_path / "rows", np.zeros(3))
    with pytest.raises(FileExistsError, match="rows is there already"):
        write_rows(tmp_path / "rows", np.ones(3))
    assert write_rows(tmp_path / "rows", np.ones(2), overwrite=True).rows([0, 1]).tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").touch()
    for path in (tmp_path / "thesis", tmp_path / "thesis" / "text"):
        with pytest.raises(FileExistsError, match=r"is there already, and no folder with a rows\.json, which alone"):
            write_rows(path, np.ones(2), overwrite=True)
    assert (tmp_path / "thesis" / "text").exists()


def csv(path, rows, label):
    x = RNG.normal(size=(rows, 3))
    lines = [",".join([*map(repr, map(float, row)), label(i)]) for i, row in enumerate(x)]
    path.write_text("\n".join(["a,b,c,kind", *lines]) + "\n")
    return path


@pytest.mark.parametrize("label", [lambda i: "xyz"[i % 3], lambda i: repr(i / 7)], ids=["words", "numbers"])
def test_a_table_is_converted_to_what_is_loaded(label, tmp_path, monkeypatch, capsys):
    """Part by part, to a folder and to Parquet, and from Parquet to a folder."""
    monkeypatch.setattr("gdjax.data.files.PART", 17)
    monkeypatch.setattr("gdjax.data.parquet.GROUP", 13)
    table, every = csv(tmp_path / "t.csv", 60, label), RNG.permutation(60)
    loaded = gd.data.load(table)
    for given, out in (("t.csv", "rows"), ("t.csv", "t.parquet"), ("t.parquet", "again")):
        with pytest.raises(SystemExit) as stop:
            main(["data", "convert", str(tmp_path / given), str(tmp_path / out)])
        assert stop.value.code == 0 and "60 rows, 3 features" in capsys.readouterr().out
    for name in ("rows", "t.parquet", "again"):
        source = open_rows(tmp_path / name)
        equal(source.rows(every), (loaded.x[every], loaded.y[every]))
        assert source.about["task"] == loaded.task and tuple(source.about["target_names"]) == loaded.target_names
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups == 5
    if loaded.task == "regression":
        other = gd.data.load(table, target="b")
        equal(open_rows(tmp_path / "t.parquet", target="b").rows(every), (other.x[every], other.y[every]))


def test_a_damaged_parquet_file_is_named(tmp_path):
    """Whatever bit is flipped: the rows are those that were written, or the file is named."""
    x, y = RNG.normal(size=(30, 2)), np.arange(30)
    path, hurt = tmp_path / "t.parquet", tmp_path / "hurt.parquet"
    gd.data.convert(csv(tmp_path / "t.csv", 30, str), path)
    content, right, named = path.read_bytes(), open_rows(path).rows(np.arange(30)), 0
    for damaged in [
        content[: len(content) // 2],
        content[:-1],
        *(flip(at)(content) for at in range(0, len(content), 29)),
    ]:
        hurt.write_bytes(damaged)
        try:
            equal(open_rows(hurt).rows(np.arange(30)), right)
        except DataError as error:
            named += str(error).startswith(f"{hurt}: ") and "\n" not in str(error)
    assert named > 20
    pq.write_table(pa.table({"x": x[:, 0], "y": pa.array([None, *y[1:]])}), path)
    with pytest.raises(DataError, match="column 'y': 1 values are missing"):
        open_rows(path).rows([0])
    pq.write_table(pa.table({"city": ["Bonn"], "y": [1]}), path)
    with pytest.raises(DataError, match="column 'city': numbers are needed, got string"):
        open_rows(path)


def test_a_wrong_cell_in_any_part_is_named_by_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr("gdjax.data.files.PART", 17)
    for at, cell, told in (
        (40, "x", "line 42, column 'kind': 'x' is no number"),
        (58, "nan", "line 60, column"),
    ):
        table = csv(tmp_path / "t.csv", 60, lambda i: cell if i == at else repr(i / 7))  # noqa: B023
        with pytest.raises(DataError, match=told):
            gd.data.convert(table, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_what_cannot_be_converted_is_told_in_one_line(tmp_path, capsys):
    table = csv(tmp_path / "t.csv", 5, str)
    write_rows(tmp_path / "there", np.zeros(2))
    for words, told in (
        (["convert", table], "write gdjax data convert IN OUT"),
        (["convert", table, tmp_path / "there"], "there is there already; --overwrite replaces it"),
        (["convert", table, tmp_path, "--overwrite"], "which alone is replaced\n"),
        (["convert", table, tmp_path / "new", "--target", "kin"], "did you mean 'kind'?"),
        (["convert", tmp_path / "no.csv", tmp_path / "new"], "no.csv: no such file"),
        (["convert", tmp_path / "no.parquet", tmp_path / "new"], "no.parquet: no such file"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["data", *map(str, words)])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and told in said and said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_index_is_small_and_readable(tmp_path):
    write_rows(tmp_path / "rows", TREES["a pair"], about={"unit": "m"})
    index = json.loads(Path(tmp_path / "rows" / "rows.json").read_text())
    assert index["rows"] == 40 and index["about"] == {"unit": "m"}
    assert [entry["file"] for entry in index["tree"]["tuple"]] == ["0.npy", "1.npy"]
