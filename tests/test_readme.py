"""The README and the pages are true: their code runs, what is generated is fresh, what is linked is there."""

import re
from pathlib import Path

import pytest

from experiments.book import blocks
from experiments.book.generate import GENERATED, PLACE
from gdjax.cli.main import parse

PAGES = PLACE / "pages"
README = Path(__file__).parents[1] / "README.md"


def run(page: Path) -> None:
    """All Python of a page, block after block."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, str(page), "exec"), names)


def test_the_front_page_is_one_page_and_its_code_runs(capsys):
    assert len(README.read_text().splitlines()) <= 150
    run(README)
    out = capsys.readouterr().out
    assert "adamw(0.001, b1=0.95)" in out and "-1.33333" in out


def test_the_commands_of_the_front_page_exist():
    found = blocks.commands(README.read_text().replace("```bash", "```sh"))
    assert len(found) >= 5
    for words in found:
        parse(words)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_fresh(name):
    assert (PLACE / name).read_text() == GENERATED[name](), "stale: run python -m experiments.book.generate"


@pytest.mark.parametrize("page", [README, PLACE / "optimizers.md"], ids=lambda page: page.name)
def test_what_is_linked_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
