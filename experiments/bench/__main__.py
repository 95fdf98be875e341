"""How fast is gdjax beside its peers, each in its own idiom and to the same accuracy? `python -m experiments.bench`.

    python -m experiments.bench [--json FILE] [--repeats 9] [--starts 2] [--only PEER ...] [--no-growth] [--no-studies]

The 64-128-128-10 network on the digits (1,438 training rows, batches of 64 with the ragged last one, Adam), 30 epochs with
validation after each and the best parameters kept. Every peer runs in a process of its own; rounds are interleaved, and
every figure has its quartiles, in wall time and in CPU time:

    a step           of a compiled run
    the first step   import, tracing, compilation, and what remains, in fresh processes
    to an accuracy   of 95 % on the validation rows, compiled before
    memory           at its peak, and what of it is there after the imports
    another rate     the same training with another learning rate in the same process: programs compiled, seconds
    growth           of a step with width, depth, batch, rows and number of leaves: ours, Optax's scan and its loop

Then the comparisons of sweeps (with `jax.vmap`, scikit-learn, Keras) and of minimization (SciPy, Optimistix), of
`sweep_cost` and `minimize_cost`. A peer that is not installed is named, and one that does not reach the accuracy too.

Expected: a step of the compiled run takes at most 0.45 of the Optax loop's time, 0.94 of the scan's, 0.35 of Keras's, 0.35
of torch's, 0.3 of scikit-learn's and 0.15 of NNX's. About 15 minutes on 2 cores.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .peers import PEERS
from .recording import arguments, write_plain
from .session import NotMeasured, Session
from .training_case import TrainingCase

OURS, REACHED, BEHIND = "ours_run", 0.95, 0.02  # the accuracy to reach, and the most that a final one may be below ours
ASKED = {
    "optax_loop": 0.45,
    "optax_scan": 0.94,
    "keras_fit": 0.35,
    "torch_eager": 0.35,
    "sklearn_mlp": 0.3,
    "flax_nnx": 0.15,
}
NOT_COMPARED = {"jaxmore": "it has loops and maps, and neither optimizers nor training: there is nothing to compare"}
GROWN = ("ours_run", "optax_scan", "optax_loop")
GROWTH: dict[str, list[dict[str, Any]]] = {
    "width": [{"sizes": (64, n, n, 10)} for n in (32, 128, 512)],
    "depth": [{"sizes": (64, *[64] * n, 10)} for n in (1, 4, 16)],
    "batch": [{"batch": n} for n in (16, 64, 256)],
    "rows": [{"copies": n} for n in (1, 8, 64)],
    "leaves": [{"sizes": (64, *[8] * n, 10)} for n in (4, 16, 64)],
}
STUDY = 600  # seconds, at most
STUDIES = {"sweep_cost": ["--repeats", "2"], "minimize_cost": ["--repeats", "5"]}


def spread(values: Any) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = np.quantile(np.asarray(values, float), [0.25, 0.5, 0.75])
    return {"median": float(median), "low": float(low), "high": float(high), "n": len(values)}


def started(peer: str, case: dict[str, Any]) -> tuple[Session, dict[str, float]]:
    """A process that has trained once, and the seconds of its start."""
    session = Session(peer)
    try:
        built, first = session.ask(build=case), session.ask(call=True)
    except NotMeasured:
        session.close()
        raise
    parts = {name: built[name] + first[name] for name in ("wall", "cpu", "trace", "compile", "programs")}
    return session, {"import": session.about["ready_s"], **parts}


def meet(peers: list[str], starts: int) -> tuple[dict[str, Session], dict[str, list[Any]], dict[str, str]]:
    """A session for each peer that runs here, the figures of its starts, and why the others do not."""
    sessions, figures, absent = {}, {peer: [] for peer in peers}, {}
    with contextlib.suppress(NotMeasured):  # the first process of all reads the libraries from the disk
        started(peers[0], {})[0].close()
    for i in range(starts):
        for peer in peers:
            if peer in absent:
                continue
            try:
                session, start = started(peer, {})
            except NotMeasured as error:
                absent[peer] = str(error)
                continue
            figures[peer].append(start)
            if i == starts - 1:
                sessions[peer] = session
            else:
                session.close()
            print(f"  {session.about['name']}: ready", file=sys.stderr, flush=True)
    return sessions, figures, absent


def rounds(sessions: dict[str, Session], repeats: int, absent: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The answers of all calls, interleaved, after one of each that warms it up; a peer that fails goes to the absent."""
    found: dict[str, list[dict[str, Any]]] = {peer: [] for peer in sessions}
    for i in range(1 + repeats):
        for peer in list(sessions) if i % 2 == 0 else list(reversed(sessions)):
            try:
                found[peer].append(sessions[peer].ask(call=True))
            except NotMeasured as error:
                absent[peer] = str(error)
                sessions.pop(peer).close()
    return {peer: found[peer][1:] for peer in sessions}


def compare(peers: list[str], repeats: int, starts: int) -> dict[str, Any]:
    """Every figure of the network of the case, peer by peer."""
    case = TrainingCase()
    sessions, begun, absent = meet(peers, starts)
    try:
        answers = rounds(sessions, repeats, absent)
        rows = {peer: figures_of(case, sessions[peer], answers[peer], begun[peer]) for peer in sessions}
        for peer, row in rows.items():
            row |= {"another_rate": another_rate(sessions[peer], row), "memory": sessions[peer].ask(peak=True)}
    finally:
        for session in sessions.values():
            session.close()
    if OURS in rows:
        add_ratios(rows, answers)
    return {"rows": rows, "absent": absent | absent_libraries()}


def figures_of(case: TrainingCase, session: Session, answers: list[dict[str, Any]], begun: list[Any]) -> dict[str, Any]:
    each = {clock: [1e6 * answer[clock] / case.steps for answer in answers] for clock in ("wall", "cpu")}
    warm = float(np.median([answer["wall"] for answer in answers]))
    accuracy = answers[-1]["accuracy"]
    reached = next((i + 1 for i, x in enumerate(accuracy) if x >= REACHED), None)
    first = [{**start, "rest": max(0.0, start["wall"] - warm - start["trace"] - start["compile"])} for start in begun]
    return {
        "name": session.about["name"],
        "versions": session.about["versions"],
        "us_a_step": {clock: spread(values) for clock, values in each.items()},
        "final_accuracy": max(accuracy, default=None),
        "to_accuracy": None if reached is None else {"epochs": reached, "seconds": warm * reached / case.epochs},
        "first_step": {
            part: spread([start[part] for start in first]) for part in ("import", "trace", "compile", "rest")
        }
        | {"all": spread([start["import"] + start["wall"] - warm for start in first])},
        "warm_s": warm,
    }


def another_rate(session: Session, row: dict[str, Any]) -> dict[str, float]:
    """What the same training with another learning rate costs beyond a warm call."""
    built, first = session.ask(build={"rate": 2e-3}), session.ask(call=True)
    seconds = built["wall"] + first["wall"] - row["warm_s"]
    return {"seconds": seconds, "programs": built["programs"] + first["programs"]}


def add_ratios(rows: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> None:
    """Our time by theirs, round by round; and whether a peer is as accurate."""
    ours, best = answers[OURS], rows[OURS]["final_accuracy"]
    for peer, row in rows.items():
        pairs = list(zip(ours, answers[peer], strict=True))
        row["ours_by_theirs"] = {
            clock: spread([a[clock] / max(b[clock], 1e-9) for a, b in pairs]) for clock in ("wall", "cpu")
        }
        row["asked"] = ASKED.get(peer)
        row["as_accurate"] = row["final_accuracy"] is None or row["final_accuracy"] >= best - BEHIND


def absent_libraries() -> dict[str, str]:
    """Libraries of the extra `peers` that are in no row of this comparison."""
    return {name: why if importlib.util.find_spec(name) else "not installed" for name, why in NOT_COMPARED.items()}


def grow(repeats: int) -> dict[str, list[dict[str, Any]]]:
    """us a step of each point, for ours, Optax's scan and its loop."""
    found: dict[str, list[dict[str, Any]]] = {}
    for along, points in GROWTH.items():
        found[along] = [point(fields, repeats) for fields in points]
        print(f"  growth with {along}: done", file=sys.stderr, flush=True)
    return found


def point(fields: dict[str, Any], repeats: int) -> dict[str, Any]:
    epochs = max(1, 8 // fields.get("copies", 1))
    case = TrainingCase.of({**fields, "epochs": epochs})
    sessions: dict[str, Session] = {}
    try:
        for peer in GROWN:
            sessions[peer], _ = started(peer, {**fields, "epochs": epochs})
        answers = rounds(sessions, repeats, {})
    finally:
        for session in sessions.values():
            session.close()
    us = {
        peer: {clock: spread([1e6 * a[clock] / case.steps for a in each]) for clock in ("wall", "cpu")}
        for peer, each in answers.items()
    }
    return {"case": fields, "us_a_step": us}


def study(name: str, options: list[str]) -> dict[str, Any]:
    """The figures of another benchmark, which runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"{__package__}.{name}", *options, "--json", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=STUDY)
        except subprocess.TimeoutExpired:
            return {"failed": f"it took more than {STUDY} s"}
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]}
        print(done.stdout)
        return json.loads(file.read_text())


def machine() -> dict[str, Any]:
    """Where and when this runs."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def show(compared: dict[str, Any]) -> None:
    """The table, slowest of ours first."""
    rows = compared["rows"]
    order = sorted(rows, key=lambda peer: -rows[peer].get("ours_by_theirs", {"wall": {"median": 0}})["wall"]["median"])
    head = f"{'us a step':>10}{'CPU':>7}   ours / theirs (quartiles), CPU    asked"
    print(f"\n  {'':<34}{head}{'first step, s':>15}{'accuracy':>10}")
    for peer in order:
        row = rows[peer]
        us, accuracy = row["us_a_step"], row["final_accuracy"]
        ratio = row.get("ours_by_theirs")
        words = (
            ""
            if ratio is None
            else "{median:.2f} ({low:.2f} to {high:.2f})".format(**ratio["wall"]) + f", {ratio['cpu']['median']:.2f}"
        )
        shown = (
            "" if accuracy is None else f"{accuracy:.3f}" + ("" if row.get("as_accurate", True) else "  NOT REACHED")
        )
        asked = "" if row.get("asked") is None else f"{row['asked']:.2f}"
        print(
            f"  {row['name']:<34}{us['wall']['median']:>10.0f}{us['cpu']['median']:>7.0f}   {words:<32}{asked:>8}"
            f"{row['first_step']['all']['median']:>15.2f}{shown:>10}"
        )
    for name, why in compared["absent"].items():
        print(f"  {name}: not measured here: {why}")
    print(f"\n  {'':<34}{'import':>8}{'trace':>8}{'compile':>9}{'rest':>7}{'another rate':>22}{'peak, MiB':>11}")
    for peer in order:
        row = rows[peer]
        parts = [row["first_step"][part]["median"] for part in ("import", "trace", "compile", "rest")]
        again = "{seconds:.2f} s, {programs} programs".format(**row["another_rate"])
        print(
            f"  {row['name']:<34}{parts[0]:>8.2f}{parts[1]:>8.2f}{parts[2]:>9.2f}{parts[3]:>7.2f}{again:>22}"
            f"{row['memory']['peak'] / 2**20:>11.0f}"
        )


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--starts", type=int, default=2, help="fresh processes of each peer")
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="PEER", help="of " + ", ".join(PEERS))
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--no-studies", action="store_true")
    options = parser.parse_args()
    figures = {"command": "python -m experiments.bench", "machine": machine()}
    peers = [peer for peer in PEERS if options.only is None or peer in {OURS, *options.only}]
    figures["compared"] = compare(peers, options.repeats, options.starts)
    show(figures["compared"])
    if not options.no_growth:
        figures["growth"] = grow(min(options.repeats, 5))
    if not options.no_studies:
        figures["studies"] = {name: study(name, given) for name, given in STUDIES.items()}
    figures["machine"]["load_after"] = os.getloadavg()[0]
    write_plain(options.json, figures)


if __name__ == "__main__":
    main()
