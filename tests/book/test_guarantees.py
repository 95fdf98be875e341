"""The page of guarantees names tests that exist and run, and every law."""

import ast
import re
from pathlib import Path

from experiments.book.held_by import folded
from gdjax.laws import loss, metric, model, optimizer, placement, schedule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "experiments/book/pages/guarantees.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::((?:\w+::)?test_\w+)`( \(nightly\))?", PAGE)
NEVER = {"skip", "skipif", "xfail"}


def marks(file):
    """Test, with its class if it has one -> the names of its own marks, of a file."""
    found = {}
    for node in ast.parse((ROOT / "tests" / file).read_text()).body:
        place, body = (f"{node.name}::", node.body) if isinstance(node, ast.ClassDef) else ("", [node])
        for test in body:
            if isinstance(test, ast.FunctionDef):
                own = [each for each in test.decorator_list if "parametrize" not in ast.dump(each)]
                found[place + test.name] = {
                    part.attr for each in own for part in ast.walk(each) if isinstance(part, ast.Attribute)
                }
    return found


def test_every_test_that_is_named_is_there_and_runs():
    found = {file: marks(file) for file in {file for file, _, _ in NAMED}}
    assert len(NAMED) > 90
    missing = [f"{file}::{test}" for file, test, _ in NAMED if test not in found[file]]
    assert not missing
    assert not [f"{file}::{test}" for file, test, _ in NAMED if found[file][test] & NEVER]
    otherwise = [test for file, test, night in NAMED if ("nightly" in found[file][test]) != bool(night)]
    assert not otherwise, "nightly, and not said so, or the other way round"


def test_every_guarantee_says_how_far_it_reaches():
    sections = re.split(r"^### ", PAGE.partition("## Laws")[0], flags=re.MULTILINE)[1:]
    assert len(sections) >= 20
    for section in sections:
        parts = [section.find(f"- **{part}:**") for part in ("Scope", "Not promised", "Held by")]
        assert -1 not in parts and parts == sorted(parts), section.partition("\n")[0]


def test_the_tests_of_a_guarantee_are_folded_and_none_is_lost():
    shown = folded(PAGE)
    assert "Held by:" not in shown and shown.count("<details") == shown.count("</details>") == PAGE.count("Held by:")
    assert all(shown.count(f"`{test}`") >= 1 and f"- `{file}`\n" in shown for file, test, _ in NAMED)
    counts = re.findall(r"Held by (\d+) tests?(?: \((.*)\))?</summary>", shown)
    assert sum(int(count) for count, _ in counts) == PAGE.count(".py::")
    assert sum(int(words.partition(" ")[0]) for _, words in counts if "nightly" in words) == PAGE.count("(nightly)")


def test_every_law_is_on_the_page_in_its_own_words():
    words = PAGE.replace("\\", "").lower()
    for kind in (optimizer, schedule, loss, model, metric, placement):
        for law in kind.LAWS.values():
            assert f"| {law.name} | {law.sentence.rstrip('.')}. |".lower() in words, law.name
