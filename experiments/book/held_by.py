"""The page of guarantees, made short: the tests that hold one are folded under it, by their files."""

from __future__ import annotations

import re

HELD = re.compile(r"\n- \*\*Held by:\*\*((?:[^\n]|\n(?=  ))*)\n")
TEST = re.compile(r"`([\w/]+\.py)::([\w:]+)`(?: \((\w+)\))?")


def folded(page: str) -> str:
    """The page, with each list of tests as one line that opens."""
    return HELD.sub(_details, page)


def _details(found: re.Match[str]) -> str:
    tests: dict[str, list[str]] = {}
    marks: dict[str, int] = {}
    for file, name, mark in TEST.findall(found[1]):
        tests.setdefault(file, []).append(f"`{name}`" + f" *({mark})*" * bool(mark))
        marks[mark] = marks.get(mark, 0) + 1
    count = sum(marks.values())
    words = [f"{number} {mark}" for mark, number in marks.items() if mark]
    head = f"Held by {count} test{'s' * (count != 1)}" + f" ({', '.join(words)})" * bool(words)
    items = "\n".join(f"- `{file}`\n" + "\n".join(f"  - {name}" for name in names) for file, names in tests.items())
    return f'\n\n<details class="held-by">\n<summary>{head}</summary>\n\n{items}\n\n</details>\n'
