"""The recorded certificates, for the pages of the optimizers.

`gdjax certify --steps 100 --out experiments/book/certificates` renews them; it compares every call of every optimizer,
wrapper and transform on nine recordings, most of an hour of one core.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .docstrings import prose

FILE = Path(__file__).parent / "certificates" / "certificates.json"
RENEW = "gdjax certify --steps {steps} --out experiments/book/certificates"
AGAINST = {
    "optax": "Optax",
    "oracle": "the oracle",
    "torch": "torch",
    "minimum": "the known minimum",
    "descent": "its descent",
}


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Rows by the name of what they judge, and what they were measured with."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    about: str
    renew: str

    @classmethod
    def recorded(cls, file: Path = FILE) -> Certificates:
        """Those of the file; none if it is not there."""
        if not file.is_file():
            return cls({}, "", "")
        record = json.loads(file.read_text())
        versions = f"JAX {record['jax']} and Optax {record['optax']} on a {record['device'].upper()}"
        about = (
            f"Measured on {record['date']} over {record['steps']} updates in a row on each recording, with {versions}"
        )
        return cls(by_name(record["rows"]), about, RENEW.format(steps=record["steps"]))

    def section(self, name: str) -> list[str]:
        """The blocks of a page about one name, largest differences first; none if nothing was measured."""
        rows = self.rows.get(name, ())
        if not rows:
            return []
        judged = [row for row in rows if row["limit"] is not None]
        red = sum(not row["passed"] for row in judged)
        verdict = f"All {len(judged)} comparisons hold." if not red else f"**{red} of {len(judged)} comparisons fail.**"
        head = "| call | compared with | dtype | largest difference | limit | remarks |\n|---|---|---|---|---|---|\n"
        table = head + "\n".join(f"| {' | '.join(cells(row))} |" for row in rows)
        meaning = "[What the columns and the number of updates mean](../guarantees.md#certificates)."
        how = f"{self.about}; `{self.renew}` measures again. {meaning}"
        return ["## Certificate", f"{verdict} {how}", table]


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows by the name of the call that each judges."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(re.split(r"\W", row["optimizer"])[0], []).append(row)
    return found


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a row."""
    call = f"`{row['optimizer']}`".replace("|", "\\|")
    limit = "not judged" if row["limit"] is None else number(row["limit"], 0)
    remarks = prose(row["note"]).replace("\\|", "|").replace("|", "\\|")
    return (
        call,
        AGAINST.get(row["reference"], row["reference"]),
        row["dtype"],
        number(row["relative"], 1),
        limit,
        remarks,
    )


def number(x: float, digits: int) -> str:
    """A number that no line breaks."""
    return "0" if x == 0 else f"{x:.{digits}e}".replace("-", "\u2011")
