"""The page "proof": every measured row beside a peer, losses first, from the figures that the benchmarks recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

RECORDED = Path(__file__).parents[2] / "bench" / "recorded"
OURS = "ours_run"
HEAD = """# The proof

How gdjax compares with the libraries that do the same work, each in its own idiom, to the same accuracy, in a process of its
own, with interleaved rounds. What gdjax loses stands first. Every figure is a median; in brackets are the quartiles.
"""
PEERS_TEXT = """
The network has {sizes} units and learns the handwritten digits: 1,438 rows, batches of 64 with the ragged last one, Adam, 30
epochs, validation after each, the best parameters kept.
"""


class Row(NamedTuple):
    """A measured comparison: less is better."""

    what: str
    peer: str
    ours: str
    theirs: str
    ratio: float
    spread: str
    asked: str = ""


def pages(lab: Path) -> dict[str, str | bytes]:
    """The page, from the recorded figures; `lab` is not read."""
    return {"proof.md": page(read(RECORDED))}


def read(folder: Path) -> dict[str, Any]:
    """Name -> what a benchmark recorded."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def page(recorded: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    studies = {name: figures for name, figures in recorded.items() if name != "peers"}
    if figures := recorded.get("peers"):
        parts += [_where(figures), comparison(figures["compared"])]
        if growth := figures.get("growth"):
            parts.append(growth_tables(growth))
        inner = figures.get("studies", {})
        studies = {
            name: {**figures["machine"], "command": figures["command"], **x} for name, x in inner.items()
        } | studies
    if (profile := RECORDED / "profile.md").is_file():
        parts.append(profile.read_text())
    if studies:
        parts.append(
            "## Longer studies\n\nEach keeps its own command; these are the figures of its last recorded run.\n"
        )
        parts += [study(name, figures) for name, figures in sorted(studies.items())]
    return "\n".join(parts)


def _where(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    return (
        f"\nMeasured on {machine['date'][:10]} by `{figures['command']}`: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}; load before and after {machine['load']:.1f} and "
        f"{machine.get('load_after', 0):.1f}.\n"
    )


def comparison(compared: dict[str, Any]) -> str:
    """The rows that are lost, then those that are won, then who is in them, and who is not."""
    rows = sorted(rows_of(compared["rows"]), key=lambda row: -row.ratio)
    lost, won = [row for row in rows if row.ratio > 1], [row for row in rows if row.ratio <= 1]
    text = f"\n## Beside the peers\n{PEERS_TEXT.format(sizes='64-128-128-10')}"
    text += f"\n### Where gdjax is behind: {len(lost)} of {len(rows)} rows\n\n" + (_table(lost) if lost else "None.\n")
    text += f"\n### Where gdjax is ahead: {len(won)} rows\n\n{_table(won)}"
    return text + "\n### Who took part\n\n" + _versions(compared)


def rows_of(peers: dict[str, Any]) -> Iterable[Row]:
    """Every comparison of the compiled run with a peer."""
    ours = peers[OURS]
    for peer, row in peers.items():
        if peer == OURS:
            continue
        if peer != "floor" and not row.get("as_accurate", True):
            row = {**row, "name": f"{row['name']} (which does not reach the accuracy)"}
        asked = "" if row.get("asked") is None else f"{row['asked']:.2f}"
        for clock, words in (("wall", "a step, µs"), ("cpu", "a step, µs of CPU time")):
            by = row["ours_by_theirs"][clock]
            us = [f"{each['us_a_step'][clock]['median']:.0f}" for each in (ours, row)]
            yield Row(words, row["name"], *us, by["median"], _quartiles(by), asked if clock == "wall" else "")
        if peer not in ("floor", "ours"):
            yield from _other_rows(ours, row)


def _other_rows(ours: dict[str, Any], row: dict[str, Any]) -> Iterable[Row]:
    for part in ("import", "trace", "compile", "all"):
        a, b = ours["first_step"][part], row["first_step"][part]
        if b["median"] > 0.005:
            words = "to the first step, s" if part == "all" else f"to the first step: {part}, s"
            spread = f"{a['low']:.2f} to {a['high']:.2f} / {b['low']:.2f} to {b['high']:.2f}"
            yield Row(words, row["name"], *_two(a["median"], b["median"], ".2f"), a["median"] / b["median"], spread)
    a, b = ours["to_accuracy"], row["to_accuracy"]
    if a and b:
        words = f"to 95 % of the validation rows, s ({a['epochs']} and {b['epochs']} epochs)"
        yield Row(words, row["name"], *_two(a["seconds"], b["seconds"], ".3f"), a["seconds"] / b["seconds"], "")
    a, b = (max(each["another_rate"]["seconds"], 1e-3) for each in (ours, row))
    words = (
        f"another rate, s ({ours['another_rate']['programs']} and {row['another_rate']['programs']} programs compiled)"
    )
    yield Row(words, row["name"], *_two(a, b, ".3f"), a / b, "")
    a, b = (each["memory"]["peak"] / 2**20 for each in (ours, row))
    yield Row("memory at its peak, MiB", row["name"], *_two(a, b, ".0f"), a / b, "")


def _two(a: float, b: float, form: str) -> tuple[str, str]:
    return format(a, form), format(b, form)


def _quartiles(values: dict[str, float]) -> str:
    return f"{values['low']:.2f} to {values['high']:.2f}"


def _table(rows: list[Row]) -> str:
    body = [
        [
            row.what,
            row.peer,
            row.ours,
            row.theirs,
            f"{row.ratio:.2f}" + (f" ({row.spread})" if row.spread else ""),
            row.asked,
        ]
        for row in rows
    ]
    return markdown(["what", "peer", "gdjax", "peer's", "ours / theirs", "asked"], body)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _versions(compared: dict[str, Any]) -> str:
    body = []
    for row in compared["rows"].values():
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        accuracy = "" if row["final_accuracy"] is None else f"{row['final_accuracy']:.3f}"
        body.append([row["name"], versions, accuracy])
    text = markdown(["peer", "versions", "best accuracy on validation rows"], body)
    if compared["absent"]:
        text += "\nNot measured here:\n\n" + "".join(f"- {name}: {why}\n" for name, why in compared["absent"].items())
    return text


def growth_tables(growth: dict[str, Any]) -> str:
    """A step of ours beside Optax's scan and its loop, along each size."""
    text = "\n## How a step grows\n\nµs a step; in brackets ours divided by theirs, of medians.\n"
    for along, points in growth.items():
        body = []
        for point in points:
            us = {peer: each["wall"]["median"] for peer, each in point["us_a_step"].items()}
            ours = us[OURS]
            theirs = [f"{us[peer]:.0f} ({ours / us[peer]:.2f})" for peer in ("optax_scan", "optax_loop")]
            body.append([_case(point["case"]), f"{ours:.0f}", *theirs])
        text += f"\n### With {along}\n\n" + markdown(["case", "gdjax", "Optax, scan", "Optax, loop"], body)
    return text


def _case(fields: dict[str, Any]) -> str:
    if sizes := fields.get("sizes"):
        return "-".join(map(str, sizes)) if len(sizes) <= 6 else f"{len(sizes) - 2} layers of {sizes[1]} units"
    if copies := fields.get("copies"):
        return f"{1438 * copies:,} rows"
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def study(name: str, figures: dict[str, Any]) -> str:
    """All figures of a benchmark, as it named them."""
    about = {key: figures.get(key) for key in ("command", "date", "device", "jax", "processor")}
    given = about["command"] or f"python -m experiments.bench.{name}"
    rest = {key: value for key, value in figures.items() if key not in about and not key.startswith("load")}
    words = ", ".join(str(about[key]) for key in ("device", "processor") if about[key])
    words += f", jax {about['jax']}" if about["jax"] else ""
    date = f" on {about['date'][:10]}" if about["date"] else ""
    body = [[path, value] for path, value in flat(rest)]
    return f"\n### {name}\n\n`{given}`{date}{': ' + words if words else ''}\n\n" + markdown(["figure", "value"], body)


def flat(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """(path, text) of every number of a record; a list of three is a median and its quartiles."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}, {key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(x, (int, float)) for x in value):
        shown = [_short(x) for x in value]
        yield path, f"{shown[0]} ({shown[1]} to {shown[2]})" if len(shown) == 3 else ", ".join(shown)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{path}, {i + 1}")
    else:
        yield path, _short(value) if isinstance(value, float) else str(value)


def _short(x: float) -> str:
    return f"{x:.4g}"
