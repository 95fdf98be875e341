"""The parts of the book that need no browser: docstrings as Markdown, equations, where a site may be written."""

import inspect
import os
import re
import signal

import pytest

import gdjax as gd
from experiments.book import build
from experiments.book.docstrings import markdown, prose
from experiments.book.generators import rooms
from experiments.book.mathml import to_mathml
from gdjax.cli.main import execute


def test_a_docstring_is_written_in_markdown():
    text = markdown(inspect.getdoc(gd.adam), {"adam": "#adam"}.get)
    assert text.startswith("Adam: steps scaled by") and text.rstrip().endswith("[-0.1 0.1]\n```")
    assert ":class: equation\n\nmu <- b1 mu + (1 - b1) g        nu" in text
    assert "\n- `b1`: in \\[0, 1); memory of about 1/(1 - b1) steps.\n" in text
    assert "**Memory:** 2 x params.\n\n**Raises:** ValueError if" in text
    assert "[arXiv:1412.6980](https://arxiv.org/abs/1412.6980)" in text


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("a_b * <x> $ [1] | #", r"a\_b \* \<x\> \$ \[1\] \| \#"),
        ("as `adam` is, or `a_b`", "as [`adam`](#adam) is, or `a_b`"),
        ("- 1 is", r"\- 1 is"),
        ("a *cycle* of 2 * 3", r"a *cycle* of 2 \* 3"),
        (
            "see doi:10.1109/ICNN.1993.298623.",
            "see [doi:10.1109/ICNN.1993.298623](https://doi.org/10.1109/ICNN.1993.298623).",
        ),
    ],
)
def test_prose_shows_its_characters(said, written):
    assert prose(said, {"adam": "#adam"}.get) == written


def test_an_argument_keeps_its_table_and_names_stay_together():
    text = markdown(inspect.getdoc(gd.minimize))
    assert "  ```text\n  DIVERGED   if the value exceeds" in text and "- `max_steps`:" in text
    names = markdown(inspect.getdoc(gd.estimators.Ridge))
    assert "`validation_fraction`, `n_iter_no_change`, `random_state`: as for" in names


def test_columns_are_a_list():
    doc = "Rooms.\n\nfew bowls   `adam`,\n            more;\nadam        a      <sgd>   plain\n\nEnd   of it."
    listed = "- few bowls: [`adam`](#adam), more\n- [`adam`](#adam): a\n- \\<sgd\\>: plain"
    assert markdown(doc, {"adam": "#adam"}.get) == f"Rooms.\n\n{listed}\n\nEnd of it.\n"


def test_what_latex2mathml_does_not_know_is_an_error():
    assert "<mfrac>" in to_mathml(r"\frac{1}{2}") and "<mtr>" in to_mathml(r"a &= b \\ c &= d", "block")
    with pytest.raises(ValueError, match=r"\\frob"):
        to_mathml(r"\frob{x}")
    with pytest.raises(ValueError):
        to_mathml(r"\begin{matrix} a")


def test_every_room_has_a_page_and_every_name_is_on_one():
    packages = {path.parent.name for path in rooms.ROOT.glob("*/__init__.py")}
    assert packages - set(rooms.ORDER) == {"cli", "fingerprint"}
    pages = rooms.pages(rooms.ROOT)
    for room in rooms.ORDER:
        page, public = pages[f"rooms/{room}.md"], rooms.names(room)
        missing = [
            each.name for each in public if not re.search(rf"^#+ {each.name}$|`{each.name}`", page, re.MULTILINE)
        ]
        assert missing == [] and " at 0x" not in page
    assert {rooms.link(name) for name in ("fit", "gd.fit", "fit(...)", "gdjax.training.fit")} == {"#gdjax.training.fit"}
    assert rooms.link("Placement") != rooms.link("placement") and rooms.link("nothing") is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_the_site_as_it_was(number, code, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sphinx")
    site, lab = tmp_path / "site", tmp_path / "lab"
    for folder, name, text in ((site, build.MARK, '{"gdjax": "1", "pages": 3}'), (lab, "index.json", "{}")):
        folder.mkdir()
        (folder / name).write_text(text)

    def half_a_site(source, draft, doctrees):
        (draft / "index.html").write_text("half")
        os.kill(os.getpid(), number)

    monkeypatch.setattr(build, "write_source", lambda source, lab: None)
    monkeypatch.setattr(build, "run_sphinx", half_a_site)
    with pytest.raises(SystemExit) as stop:
        execute(["book", "--out", str(site), "--lab", str(lab)])
    assert stop.value.code == code and capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in site.iterdir()] == [build.MARK]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "site"]


def test_a_site_replaces_only_a_book(tmp_path, capsys):
    pytest.importorskip("sphinx")
    (tmp_path / "mine").mkdir()
    build.check_out(tmp_path / "mine")
    build.check_out(tmp_path / "new")
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(SystemExit) as stop:
        execute(["book", "--out", str(tmp_path / "mine")])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and "is no book" in said
    (tmp_path / "mine" / build.MARK).write_text('{"title": "a thesis"}')
    with pytest.raises(FileExistsError, match="is no book"):
        build.check_out(tmp_path / "mine")
    (tmp_path / "mine" / build.MARK).write_text('{"gdjax": "1", "pages": 3}')
    build.check_out(tmp_path / "mine")
    with pytest.raises(SystemExit) as stop:
        execute(["book", "--out", str(tmp_path / "new"), "--lab", str(tmp_path / "no lab")])
    assert stop.value.code == 2 and not (tmp_path / "new").exists()
