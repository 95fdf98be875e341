"""Experiments fail when their claims do; the quickest of them runs here, all of them nightly."""

import ast
import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import find_the_minimum
from experiments.book.generators import lab_pages
from experiments.lab import Lab, record

PLACE = Path(find_the_minimum.__file__).parent
EXPERIMENTS = record.names()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiment", "--out", str(tmp_path / "pictures")])
    yield tmp_path
    jax.config.update("jax_enable_x64", False)


def test_an_experiment_from_end_to_end(place, capsys):
    with pytest.raises(SystemExit) as stop:
        find_the_minimum.main()
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "all held" in out and "1,450" in out and "623" in out
    kept = json.loads((place / "pictures" / "find_the_minimum.json").read_text())
    assert {path.name for path in (place / "pictures").iterdir()} == {
        "find_the_minimum.json",
        *(picture["file"] for picture in kept["pictures"]),
    }
    assert kept["status"] == "held" and kept["question"].endswith("?") and all(c["holds"] for c in kept["claims"])
    page = lab_pages.pages(place / "pictures")["lab/find_the_minimum.md"]
    assert ":::{error}" not in page and "FAILED" not in page and page.startswith("# How do three searches")
    assert ["16.5", "0.01", "gradient", "623"] in [row[:4] for table in kept["tables"] for row in table["rows"]]


@pytest.mark.nightly
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_claim_of_every_experiment_holds(name, place):
    command = [sys.executable, "-m", f"experiments.{name}", "--out", str(place)]
    environment = {**os.environ, "PYTHONPATH": str(PLACE.parent), "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_claim_that_does_not_hold_turns_the_page_red(place, monkeypatch, capsys):
    monkeypatch.setattr(find_the_minimum, "f", lambda x: (x - 2.5) ** 2)
    with pytest.raises(SystemExit) as stop:
        find_the_minimum.main()
    out = capsys.readouterr().out
    assert stop.value.code == 1 and "FAILED  both fixed-step searches" in out and "FAILED" in out.splitlines()[-1]
    made = lab_pages.pages(place / "pictures")
    page, index = made["lab/find_the_minimum.md"], made["lab/index.md"]
    assert ":::{error}" in page and "claims FAILED:** both fixed-step searches" in page and "[FAILED]{.verdict" in page
    assert "Did not hold: [Find the minimum](find_the_minimum.md)" in index and "lab/find_the_minimum.png" in made


def test_an_error_is_not_swallowed():
    with pytest.raises(ZeroDivisionError), Lab("a lab"):
        raise ZeroDivisionError


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_asks_claims_and_draws(name):
    text = (PLACE / f"{name}.py").read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    assert f"python -m experiments.{name}" in doc and "?" in doc.split("\n\n")[0]
    assert "Expected" in doc or "expected" in doc
    assert "lab.claim(" in text and "lab.save(" in text and "with Lab(__doc__" in text

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.body[0].lineno < 50, f"{node.name} is longer than 50 lines"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "statement":
            conditions = [word.value for word in node.keywords if word.arg in ("holds", "partly")]
            assert not any(isinstance(each, ast.Constant) for each in conditions), f"line {node.lineno}: not computed"
        if isinstance(node, ast.Dict):
            named = [
                v
                for k, v in zip(node.keys, node.values, strict=True)
                if getattr(k, "value", None) in ("holds", "partly")
            ]
            assert not any(isinstance(each, ast.Constant) for each in named), f"line {node.lineno}: not computed"


@pytest.mark.parametrize(
    ("promised", "holds", "partly", "found"),
    [
        ("right", True, None, "right"),
        ("right", False, None, "wrong"),
        ("wrong", False, None, "wrong"),
        ("wrong", True, None, "right"),
        ("imprecise", False, True, "imprecise"),
        ("imprecise", True, True, "right"),
        ("imprecise", False, False, "wrong"),
    ],
)
def test_a_verdict_follows_from_its_condition_and_fails_if_it_turns(place, capsys, promised, holds, partly, found):
    with pytest.raises(SystemExit) as stop, Lab(DOC) as lab:
        lab.claim("one is one", True)
        lab.statement("Lecture 1", "this", ours="that", verdict=promised, holds=holds, partly=partly)
    turned, said = found != promised, f"FAILED: {found}, not {promised}"
    kept = record.read(place / "pictures", "twice")
    made = lab_pages.index_page({"twice": kept}), lab_pages.page(kept)
    assert kept["statements"][0]["verdict"] == found and stop.value.code == kept["exit"] == turned
    assert [said in text for text in (capsys.readouterr().out, made[1])] == [turned, turned]
    assert ["Did not hold: [Twice]" in made[0], "**1 claim FAILED:** Lecture 1: this" in made[1]] == [turned, turned]


@pytest.mark.parametrize(
    "given", [{"verdict": "right"}, {"verdict": "imprecise", "holds": False}, {"verdict": "definition", "holds": True}]
)
def test_a_verdict_without_its_condition_is_turned_down(given):
    with pytest.raises(ValueError, match="right and wrong need holds"):
        Lab(DOC).statement("Lecture 1", "this", ours="that", **given)


DOC = "Is two twice one?\n\n    python -m experiments.twice [--times 2]\n\nExpected: yes."


@dataclasses.dataclass(frozen=True)
class Numbers:
    times: float = 2.0
    """How often."""
    starts: tuple[float, ...] = (1.0, 3.0)
    """Two of them."""


def twice(place, monkeypatch, *words):
    """Run an experiment of one claim; its exit code and its record."""
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(place), *words])
    with pytest.raises(SystemExit) as stop, Lab(DOC, Numbers()) as lab:
        lab.table(("times", "of one"), [(lab.numbers.times, lab.numbers.times * 1)])
        lab.claim("two is twice one", lab.numbers.times * 1 == 2)
        right = lab.numbers.times * 1 == 2
        lab.statement("Lecture 1", "two is twice one", ours=f"{lab.numbers.times:g}", verdict="right", holds=right)
        _ = math.log(lab.numbers.times)
        lab.save(lambda path: path.write_bytes(b"GIF89a"), "twice.gif", "Nothing moves.")
    return stop.value.code, record.read(place, "twice")


def test_a_number_that_was_changed_breaks_no_promise(place, monkeypatch, capsys):
    code, kept = twice(place, monkeypatch, "--times", "2.5", "--starts", "-4", "-1e-3")
    assert code == 0 and kept["status"] == "not here" and kept["claims"][0]["verdict"] == "not here"
    assert kept["statements"][0]["verdict"] == "not here" and "FAILED" not in lab_pages.page(kept)
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("with --times 2.5 --starts -4 -0.001; claims are promises about the defaults")
    )
    assert kept["command"] == "python -m experiments.twice --times 2.5 --starts -4 -0.001"
    times = {"name": "times", "option": "--times", "default": 2.0, "value": 2.5, "help": "How often."}
    assert kept["numbers"][0] == times and kept["pictures"] == [{"file": "twice.gif", "caption": "Nothing moves."}]
    code, kept = twice(place, monkeypatch)
    assert code == 0 and kept["status"] == "held" and kept["statements"][0]["verdict"] == "right"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--times", "abc"], "could not convert string to float: 'abc'"),
        (["--tims", "3"], "no option --tims: did you mean '--times'?"),
        (["--times", "nan"], "--times must be a number"),
        (["--times", "-1"], "not with --times -1: "),
        (["left"], "left"),
        (["--out", __file__], "test_experiments.py"),
        (["--out", "/proc/self"], "/proc/self is no folder to write into"),
    ],
)
def test_a_command_line_that_does_not_fit_is_told_in_one_line(place, monkeypatch, capsys, words, said):
    code, kept = twice(place, monkeypatch, *words)
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("twice: ") and said in err and err.count("\n") == 1
    assert kept is None or kept["status"] == "error"


def test_the_record_of_an_error_is_no_record_of_the_run_before(place, monkeypatch):
    twice(place, monkeypatch)
    with pytest.raises(KeyError), Lab(DOC, Numbers()):
        raise KeyError("a bug")
    kept = record.read(place, "twice")
    assert kept["status"] == "error" and kept["exit"] == 1 and "a bug" in kept["error"]


def test_the_themes_of_the_book_name_experiments_once():
    themed = [name for names in lab_pages.THEMES.values() for name in names]
    assert len(set(themed)) == len(themed) and set(themed) <= set(EXPERIMENTS)
