"""Experiments fail when their claims do; the quickest of them runs here, all of them nightly."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import find_the_minimum
from experiments.lab import Lab

PLACE = Path(find_the_minimum.__file__).parent
EXPERIMENTS = sorted(path.stem for path in PLACE.glob("*.py") if path.stem not in ("__init__", "lab"))


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
    assert [path.name for path in (place / "pictures").iterdir()] == ["find_the_minimum.png"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_claim_of_every_experiment_holds(name, place):
    command = [sys.executable, "-m", f"experiments.{name}", "--out", str(place)]
    environment = {**os.environ, "PYTHONPATH": str(PLACE.parent), "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_claim_that_does_not_hold_fails_the_experiment(monkeypatch, capsys):
    monkeypatch.setattr(find_the_minimum, "f", lambda x: (x - 2.5) ** 2)
    with pytest.raises(SystemExit) as stop:
        find_the_minimum.main()
    out = capsys.readouterr().out
    assert stop.value.code == 1 and "FAILED  both fixed-step searches" in out and "FAILED" in out.splitlines()[-1]


def test_an_error_is_not_swallowed():
    with pytest.raises(ZeroDivisionError), Lab("a lab"):
        raise ZeroDivisionError


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_asks_claims_and_draws(name):
    text = (PLACE / f"{name}.py").read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    assert f"python -m experiments.{name}" in doc and "?" in doc.split("\n\n")[0]
    assert "Expected" in doc or "expected" in doc
    assert "lab.claim(" in text and "lab.save(" in text and "with Lab(__doc__)" in text
