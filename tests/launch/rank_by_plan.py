"""A rank that does what a plan says, without JAX: what the tests of the launcher start instead of `gdjax`.

`rank_by_plan.py PLAN --out FOLDER [--resume]`, where PLAN, in JSON, has for each attempt and rank the actions, in order.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lifeline():
    """gdjax.lifeline, without the package, which would import JAX."""
    spec = importlib.util.spec_from_file_location("lifeline", ROOT / "gdjax" / "lifeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def end(number, _):
    print("gdjax: INTERRUPTED, as it was asked", file=sys.stderr, flush=True)
    sys.exit(128 + number)


def save(folder, step):
    (folder / "checkpoints" / step).mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def replace(folder, _):
    """A new folder takes the place of the old one, as when a run is overwritten."""
    new = folder.with_name("new")
    new.mkdir()
    shutil.rmtree(folder)
    new.rename(folder)


def finish(folder, stop):
    (folder / "result.json").write_text(json.dumps({"stop": stop}))


def fail(folder, message):
    raise ValueError(message)


def mistake(folder, message):
    print(f"gdjax: {message}", file=sys.stderr)
    sys.exit(2)


def wait_for(folder, name):
    last = time.monotonic() + 60
    while not (folder.parent / name).exists():
        assert time.monotonic() < last, name
        time.sleep(0.01)


def note(folder, argument):
    """Leave a file when the signal comes, and go on."""
    name, _, file = argument.partition(" ")
    signal.signal(getattr(signal, name), lambda *_: (folder.parent / file).touch())


def leave(folder, _):
    """Leave a child behind, which holds what this process writes to, and is listed with the ranks."""
    child = subprocess.Popen(["sleep", "40"])
    with open(folder.parent / "starts-child", "a") as starts:
        starts.write(f"{child.pid} \n")


DO = {
    "leave": leave,
    "note": note,
    "for": wait_for,
    "mark": lambda folder, name: (folder.parent / name).touch(),
    "save": save,
    "finish": finish,
    "replace": replace,
    "raise": fail,
    "mistake": mistake,
    "say": lambda folder, text: print(text, flush=True),
    "complain": lambda folder, text: print(text, file=sys.stderr, flush=True),
    "send": lambda folder, name: os.kill(os.getpid(), getattr(signal, name)),
    "wait": lambda folder, seconds: time.sleep(float(seconds)),
    "exit": lambda folder, code: os._exit(int(code)),
    "ignore": lambda folder, name: signal.signal(getattr(signal, name), signal.SIG_IGN),
    "draft": lambda folder, name: folder.with_name(f".{folder.name}-{name}").mkdir(),
    "terminal": lambda folder, _: print("a terminal" if os.isatty(2) else "no terminal", file=sys.stderr, flush=True),
}

if __name__ == "__main__":
    lifeline().hold_lifeline()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    plan, _, out, *more = sys.argv[1:]
    folder, rank = Path(out), os.environ["GDJAX_PROCESS"]
    with open(folder.parent / f"starts-{rank}", "a+") as starts:
        starts.write(f"{os.getpid()} {' '.join(more)}\n")
        starts.seek(0)
        attempt = len(starts.readlines()) - 1
    for action in json.loads(plan)[attempt][int(rank)]:
        name, _, argument = action.partition(" ")
        DO[name](folder, argument)
