"""The pages by hand are true: their Python prints what they show, their commands exist, and what they link is there."""

import re
from pathlib import Path

import pytest

from experiments.book import blocks
from gdjax.cli.main import parse

BOOK = Path(__file__).parents[2] / "experiments" / "book" / "pages"
PAGES = [path for folder in ("cookbook", "coming_from") for path in sorted((BOOK / folder).glob("*.md"))]
PAGES += [BOOK / "tutorial.md", BOOK / "design" / "index.md"]
GENERATED = ("rooms/", "optimizers/", "../rooms/", "../optimizers/")  # the build fails where one of these is missing
NAMES = [str(path.relative_to(BOOK)) for path in PAGES]
LONG = {
    f"{folder}/{name}.md"  # 3 to 8 s each, and what they call is tested elsewhere
    for folder, names in (
        ("cookbook", "backprop curve equinox haiku minimize own_model tournament"),
        ("coming_from", "jaxopt scikit_learn"),
    )
    for name in names.split()
}
each_page = pytest.mark.parametrize("path", PAGES, ids=NAMES)
run_each = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.nightly] * (name in LONG), id=name)
        for path, name in zip(PAGES, NAMES, strict=True)
    ],
)


@run_each
def test_a_page_runs_and_prints_what_it_shows(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block, said, told in blocks.run(path):
        assert told is None or blocks.prints(said, told.text), f"line {block.line} of the page printed\n{said}"


@each_page
def test_the_commands_of_a_page_exist(path):
    for words in blocks.commands(path.read_text()):
        parse(words)


@each_page
def test_what_a_page_links_is_there(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        made = target.startswith(("http", *GENERATED))
        assert made or (path.parent / target).is_file(), target


def test_every_long_page_is_there():
    assert set(NAMES) >= LONG


@pytest.mark.parametrize("folder", ["cookbook", "coming_from"])
def test_every_page_is_in_the_index_of_its_folder(folder):
    toctree = re.search(r"```\{toctree\}.*?```", (BOOK / folder / "index.md").read_text(), re.DOTALL)
    listed = re.findall(r"^([\w-]+)$", toctree[0], re.MULTILINE)
    assert sorted([*listed, "index"]) == sorted(path.stem for path in (BOOK / folder).glob("*.md"))


def test_the_five_lines_of_the_front_page_are_those_of_the_readme():
    (lines,) = (block.text for block in blocks.blocks((BOOK / "index.md").read_text()) if block.language == "python")
    assert lines in (BOOK.parents[2] / "README.md").read_text()
