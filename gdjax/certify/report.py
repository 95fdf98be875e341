"""Certificates as a printed table, as Markdown and as JSON."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable

import jax
import optax

from gdjax.certify._certificate import Row

ABOUT = """\
relative: the largest difference over all steps, leaves and cases that the note does not leave out, relative to the largest
entry of its leaf in the last ten steps (not entry by entry). Each number is held to `limit`: in double precision 1e-12, or
the looser one whose reason the note gives; below it four times Optax's own distance from the float64 oracle. A row marked
-- is shown and not judged. descent: the share of the oracle's descent, the mean of -cos(update, gradient), that is lost.
Wrappers follow their own updates on the recorded gradients, compared in updates, parameters and what they evaluate."""
COLUMNS = ("", "optimizer", "reference", "dtype", "relative", "ULP", "limit", "note")


def cells(row: Row) -> tuple[str, ...]:
    """The cells of a row; a failed row shows the first difference."""
    verdict = "--" if row.limit is None else "ok" if row.passed else "RED"
    place = "" if row.passed or row.parted is None else "parts in {} at step {}, leaf {}. ".format(*row.parted)
    limit = "" if row.limit is None else f"{row.limit:.0e}"
    figures = (f"{row.relative:.1e}", f"{row.ulp:.3g}", limit)
    return (verdict, row.optimizer, row.reference, row.dtype, *figures, place + row.note)


def line(row: Row) -> str:
    """A row of the printed table."""
    verdict, optimizer, reference, dtype, relative, ulp, limit, note = cells(row)
    name = optimizer if len(optimizer) <= 44 else optimizer[:41] + "..."
    return f"{verdict:<4}{name:<45}{reference:<8}{dtype:<11}{relative:>9}{ulp:>10}{limit:>8}  {note}".rstrip()


HEAD = f"{'':<4}{'optimizer':<45}{'against':<8}{'dtype':<11}{'relative':>9}{'ULP':>10}{'limit':>8}"


def as_markdown(rows: Iterable[Row]) -> str:
    table = [COLUMNS, tuple("---" for _ in COLUMNS), *map(cells, rows)]
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table)
    return ABOUT + "\n\n" + "\n".join(lines) + "\n"


def as_json(rows: Iterable[Row], steps: int) -> str:
    about = {
        "date": datetime.date.today().isoformat(),
        "steps": steps,
        "jax": jax.__version__,
        "optax": optax.__version__,
        "device": jax.devices()[0].device_kind,
        "about": ABOUT,
    }
    return json.dumps({**about, "rows": [{**row._asdict(), "passed": row.passed} for row in rows]}, indent=2) + "\n"
