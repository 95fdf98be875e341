"""The page of the comparisons, from a record that is made up."""

import json

import pytest

from experiments.bench.peers import PEERS
from experiments.bench.recording import arguments, write
from experiments.book.generators import proof_page


def spread(x):
    return {"median": x, "low": 0.9 * x, "high": 1.1 * x, "n": 3}


def row(name, us, ratio, **more):
    return {
        "name": name,
        "versions": {name.lower(): "1.0"},
        "us_a_step": {clock: spread(us) for clock in ("wall", "cpu")},
        "ours_by_theirs": {clock: spread(ratio) for clock in ("wall", "cpu")},
        "final_accuracy": 0.98,
        "as_accurate": True,
        "to_accuracy": {"epochs": 5, "seconds": us / 1000},
        "first_step": {part: spread(us / 100) for part in ("import", "trace", "compile", "rest", "all")},
        "another_rate": {"seconds": us / 1000, "programs": 1},
        "memory": {"peak": int(us) << 20, "imported": 1},
        **more,
    }


def record():
    rows = {
        "ours_run": row("gdjax", 100.0, 1.0),
        "optax_loop": row("Optax", 200.0, 0.5, asked=0.45),
        "optax_scan": row("Scan", 80.0, 1.25, as_accurate=False),
    }
    machine = {
        "processor": "abacus",
        "cores": 2,
        "system": "Linux",
        "python": "3.13",
        "date": "2026-01-02T03:04",
        "load": 0.1,
    }
    return {
        "peers": {
            "machine": machine,
            "command": "python -m experiments.bench",
            "compared": {"rows": rows, "absent": {"keras": "not installed"}},
            "growth": {
                "width": [
                    {
                        "case": {"sizes": [64, 8, 10]},
                        "us_a_step": {
                            peer: {"wall": spread(us)}
                            for peer, us in (("ours_run", 10.0), ("optax_scan", 20.0), ("optax_loop", 40.0))
                        },
                    }
                ]
            },
        },
        "unroll": {
            "command": "python -m experiments.bench.unroll",
            "date": "2026-01-01T00:00",
            "ratios": {"a": [0.5, 0.4, 0.6]},
        },
    }


def test_losses_stand_first_with_their_spread_and_who_is_missing_is_named():
    page = proof_page.page(record())
    behind, ahead = page.split("### Where gdjax is behind")[1].split("### Where gdjax is ahead")
    ahead, rest = ahead.split("### Who took part")
    assert "1.25 (1.12 to 1.38)" in behind and "does not reach the accuracy" in behind and "Optax" not in behind
    assert "0.50 (0.45 to 0.55) | 0.45 |" in ahead and "Scan" not in ahead
    assert "- keras: not installed" in rest and "abacus" in page and "2026-01-02" in page
    assert "| 64-8-10 | 10 | 20 (0.50) | 40 (0.25) |" in rest
    assert "| ratios, a | 0.5 (0.4 to 0.6) |" in rest and "`python -m experiments.bench.unroll` on 2026-01-01" in rest
    numbers = [
        float(line.split("|")[5].split("(")[0])
        for line in (behind + ahead).splitlines()
        if line.startswith("| ") and "/" not in line.split("|")[5] and "--" not in line
    ]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == 10


def test_every_peer_has_its_file():
    folder = proof_page.RECORDED.parent / "peers"
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(PEERS)


def test_figures_are_written_whole_and_a_wrong_path_is_refused_at_once(tmp_path, capsys):
    for wrong in (tmp_path, tmp_path / "nowhere" / "x.json"):
        with pytest.raises(SystemExit) as stop:
            arguments("A benchmark.").parse_args(["--json", str(wrong)])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and said.count("\n") == 1 and str(wrong) in said
    path = tmp_path / "x.json"
    given = arguments("A benchmark.", repeats=3).parse_args(["--json", str(path)])
    assert given.json == path and given.repeats == 3 and list(tmp_path.iterdir()) == []
    write(path, {"seconds": 1.0})
    assert json.loads(path.read_text())["seconds"] == 1.0 and list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError):
        write(path, {"seconds": object()})
    assert json.loads(path.read_text())["seconds"] == 1.0 and list(tmp_path.iterdir()) == [path]
