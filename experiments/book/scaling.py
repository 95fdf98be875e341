"""The page that plans past this machine: its text, with tables that are computed from the bench's figures and the plan."""

from __future__ import annotations

import json
import string
from pathlib import Path

from ..bench import plan

HERE = Path(__file__).parent
FIGURES = HERE / "scaling.json"  # python -m experiments.bench.scaling --json experiments/book/scaling.json


def scaling_page() -> str:
    """The page."""
    model, figures = plan.Model(), json.loads(FIGURES.read_text())
    layer = plan.H100.seconds("all-gather", model.size / model.layers, 4096) - plan.H100.latency(4096)
    values = {
        "cores": figures["cores"],
        "measured": markdown(measured(figures)),
        "hardware": markdown(hardware()),
        "memory": markdown(plan.memory_table(model)),
        "limit": markdown(plan.limit_table(model)),
        "exchange": markdown(plan.exchange_table(model)),
        "times": "\n\n".join(markdown(plan.time_table(each, model)) for each in plan.ACCELERATORS),
        "latency": markdown(plan.latency_table(plan.H100)),
        "utilization": plan.UTILIZATION,
        "share": f"{plan.UTILIZATION:.0%}",
        "parameters": f"{model.parameters:.0e}".replace("e+0", "e"),
        "tokens": f"{model.tokens:,}",
        "layers": model.layers,
        "layer": f"{layer * 1e6:,.0f}",
    }
    return string.Template((HERE / "scaling_page.md").read_text()).substitute(values)


def measured(figures: dict) -> plan.Rows:
    """What the bench has counted and timed."""
    head = ("", "devices", "ms a step", "MB of state", "MB computed with", "work", "reduced", "gathered")
    rows: plan.Rows = [head]
    for each in figures["figures"]:
        way, number = each["way"], each["devices"]
        megabytes = (f"{each[name] / 1e6:.2f}" for name in ("state", "computed with"))
        exchanged = (
            f"{each['exchanged'].get(kind, 0) / figures['parameters']:.3f}" for kind in ("all-reduce", "all-gather")
        )
        milliseconds = f"{figures['seconds a step'][f'{way}, {number}'] * 1e3:.1f}"
        rows.append((way, str(number), milliseconds, *megabytes, f"{each['work']:.2f}", *exchanged))
    return rows


def hardware() -> plan.Rows:
    """The numbers of the plan."""
    head = ("", "memory", "peak, bfloat16", "each sends inside", "accelerators inside", "beyond", "a hop")
    rows: plan.Rows = [head]
    for each in plan.ACCELERATORS:
        speeds = f"{each.inside / 1e9:.0f} GB/s", f"{each.domain:,}", f"{each.outside / 1e9:.4g} GB/s"
        hops = f"{each.hop * 1e6:.1f} us" + (f", beyond {each.hop_outside * 1e6:.0f} us" if each.hop_outside else "")
        rows.append((each.name, f"{each.memory / 1e9:.0f} GB", f"{each.peak / 1e12:.0f}e12", *speeds, hops))
    return rows


def markdown(rows: plan.Rows) -> str:
    """A table of Markdown, numbers to the right."""
    head, *body = rows
    rule = "|".join(("---", *["---:"] * (len(head) - 1)))
    lines = [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in body)]
    return "\n".join(lines)
