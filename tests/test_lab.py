"""All experiments by one command; the lab in a wheel."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gdjax
from experiments.lab import everything, record
from gdjax.cli.laboratory import Everything

ROOT = Path(gdjax.__file__).parents[1]

DOC = '"""Does it {name}?\n\n    python -m experiments.{name}\n\nExpected: yes."""\n'
EMPTY = {key: [] for key in ("pictures", "tables", "notes", "statements", "numbers")}
ABOUT = {"question": "?", "error": "", "seconds": 1.0, "cpu_seconds": 1.0, "date": "", "digest": "same", "changed": ""}


def record_of(name, holds):
    claims = [{"words": "one is one" if holds else "one is two", "holds": holds, "verdict": ""}]
    status = {"status": "held" if holds else "failed", "exit": int(not holds), "full": False}
    return {"name": name, **ABOUT, **EMPTY, "claims": claims, **status}


WRITE = "import sys\nopen(sys.argv[2] + '/{name}.json', 'w').write({text!r})\nsys.exit({code})\n"
STUBS = {
    "hold": WRITE.format(name="hold", text=json.dumps(record_of("hold", True)), code=0),
    "fail": WRITE.format(name="fail", text=json.dumps(record_of("fail", False)), code=1),
    "crash": "print('so far so good')\nraise RuntimeError('no such luck')\n",
    "sleep": "import time\ntime.sleep(60)\n",
}


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """A folder of experiments, and what runs some of them."""
    place = tmp_path / "stubs"
    place.mkdir()
    for name, body in STUBS.items():
        (place / f"{name}.py").write_text(DOC.format(name=name) + body)
    monkeypatch.setattr(record, "HERE", place)
    monkeypatch.setattr(record, "digest", lambda name: "same")
    monkeypatch.setattr(everything, "PACKAGE", "stubs")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda *only, **options: everything.run_all(Everything(tmp_path / "lab", only, **{"jobs": 2, **options}))


def test_one_that_crashes_is_named_and_the_others_go_on(stubs, tmp_path, capsys):
    assert stubs("crash", "fail", "hold") == 1
    out = capsys.readouterr().out
    assert "CRASHED: RuntimeError: no such luck" in out and "FAILED  one is two" in out and "2 claims" in out
    index = json.loads((tmp_path / "lab" / "index.json").read_text())
    ended = {one["name"]: (one["status"], one["exit"]) for one in index["experiments"]}
    assert ended == {"crash": ("error", 1), "fail": ("failed", 1), "hold": ("held", 0)}
    assert index["not_held"] == ["crash", "fail"] and (index["claims"], index["failed"]) == (2, 1)
    assert "so far so good" in (tmp_path / "lab" / "crash.txt").read_text()
    assert stubs("hold", resume=True) == 0
    assert "1 experiment held" in capsys.readouterr().out
    assert not [path for path in (tmp_path / "lab").iterdir() if path.name.startswith(".")]


def test_a_record_holds_for_the_same_sources_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "HERE", tmp_path)
    (tmp_path / "one.py").write_text("from .other import f")
    (tmp_path / "other.py").write_text("f = 1")
    digests = [record.digest("one"), record.digest("one"), record.digest("other")]
    (tmp_path / "other.py").write_text("f = 2")
    digests.append(record.digest("one"))
    assert digests[0] == digests[1] and len(set(digests)) == 3


@pytest.mark.parametrize("lost", [False, True])
def test_what_is_interrupted_leaves_no_process(stubs, tmp_path, capsys, monkeypatch, lost):
    """Also where the exception of the signal is lost, as one in a callback of the garbage collector is."""
    begun, sent = [], []
    popen, sleep = subprocess.Popen, time.sleep

    def interrupt(seconds):
        with contextlib.suppress(KeyboardInterrupt) if lost else contextlib.nullcontext():
            if not sent:
                sent.append(signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
        sleep(seconds)

    monkeypatch.setattr(everything.subprocess, "Popen", lambda *a, **k: begun.append(popen(*a, **k)) or begun[-1])
    monkeypatch.setattr(everything.time, "sleep", interrupt)
    assert stubs("sleep") == 130
    assert begun[0].poll() is not None and "interrupted" in capsys.readouterr().err
    assert not list((tmp_path / "lab").iterdir())


@pytest.mark.parametrize(
    ("only", "options", "said"),
    [(("hol",), {}, "did you mean 'hold'?"), (("hold",), {"jobs": 0}, "--jobs must be at least 1")],
)
def test_what_cannot_be_run_is_told_in_one_line(stubs, capsys, only, options, said):
    assert stubs(*only, **options) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(capsys):
    assert everything.run_all(Everything(Path("/proc/self"))) == 2
    err = capsys.readouterr().err
    assert err.startswith("experiments: --out: /proc/self is no folder to write into") and err.count("\n") == 1


def test_a_wheel_in_an_empty_environment_runs_an_experiment(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    site = next((tmp_path / "empty").glob("lib/python*/site-packages"))
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site], check=True)
    (site / "installed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [tmp_path / "empty" / "bin" / "python", "-m", "gdjax", "lab", "find_the_minimum", "--out", "pictures"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "all held" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "pictures" / "find_the_minimum.png").is_file()
    assert not (tmp_path / "pictures" / "find_the_minimum.json").read_text().count(str(ROOT))
    assert (site / "gdjax" / "lab" / "bench" / "step_cost.py").is_file()
    assert list((site / "gdjax" / "lab" / "book" / "pages").glob("*.md"))
