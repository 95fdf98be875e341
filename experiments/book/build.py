"""The book: pages written by hand and pages that are generated, made into one static site by Sphinx.

    pages/         written by hand, in the Markdown of MyST
    generators/    a file for each kind of generated page: pages(lab) -> {path: contents}
    static/        the style sheet

The site is written whole or not at all, and works from disk with the network off.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gdjax.cli.laboratory import environment
from gdjax.cli.signals import raise_lost
from gdjax.files import commit_folder
from gdjax.version import __version__

from .held_by import folded

PLACE = Path(__file__).parent
MARK = "book.json"  # by which a folder is known as a book
GENERATORS = ("rooms", "optimizer_pages", "lab_pages", "proof_page", "explorer_pages")
GRACE = 60  # seconds in which the experiments may end
EXPERIMENTS = (__package__ or "experiments.book").rpartition(".")[0]


class BookError(Exception):
    """The book cannot be made."""


def build(out: Path, lab: Path | None = None) -> int:
    """Make the site, and return the number of its pages.

    Args:
        out: the folder of the site: new, empty, or an older book, which is replaced.
        lab: what `python -m experiments --out LAB` wrote (default: it is run first).

    Raises: FileExistsError for another folder, FileNotFoundError for a lab that is none; BookError if a page is wrong.
    """
    check_out(out)
    if lab is not None and not (lab / "index.json").is_file():
        raise FileNotFoundError(f"{lab} is no lab: write it by python -m {EXPERIMENTS} --out {lab}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        lab = run_lab(Path(place) / "lab") if lab is None else lab
        source = Path(place) / "source"
        write_source(source, lab)
        with commit_folder(out) as draft:
            run_sphinx(source, draft, Path(place) / "doctrees")
            pages = sum(1 for _ in draft.rglob("*.html"))
            raise_lost()
            (draft / MARK).write_text(json.dumps({"gdjax": __version__, "pages": pages}) + "\n")
    return pages


def check_out(out: Path) -> None:
    """Raise FileExistsError unless the site may be written there."""
    if out.exists() and not _is_book(out) and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out} is there already and is no book: name a new or an empty folder")


def _is_book(out: Path) -> bool:
    try:
        return set(json.loads((out / MARK).read_text())) == {"gdjax", "pages"}
    except (OSError, ValueError, TypeError):
        return False


def run_lab(lab: Path) -> Path:
    """Run all experiments.   Raises: BookError if they cannot be run; a claim that fails is shown on its page."""
    words = [sys.executable, "-m", EXPERIMENTS, "--out", str(lab)]
    # In a session of its own: an interrupt of ours reaches it once, as a SIGTERM, on which it ends what it has started.
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as process:
        try:
            _, said = process.communicate()
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            process.kill()
            raise
    if not (lab / "index.json").is_file():
        raise BookError(said.strip() or f"python -m {EXPERIMENTS} --out {lab} wrote no index.json")
    return lab


def write_source(source: Path, lab: Path) -> None:
    """All that Sphinx reads, in one folder."""
    for path in sorted((PLACE / "pages").rglob("*")):
        if path.is_file():
            contents = folded(path.read_text()) if path.suffix == ".md" else path.read_bytes()
            _put(source, path.relative_to(PLACE / "pages").as_posix(), contents)
    for path in sorted((PLACE / "static").rglob("*")):
        if path.is_file():
            _put(source, f"_static/{path.relative_to(PLACE / 'static').as_posix()}", path.read_bytes())
    for name in GENERATORS:
        generator = importlib.import_module(f"{__package__}.generators.{name}")
        for path, contents in generator.pages(lab).items():
            if (source / path).exists():
                raise BookError(f"{name}: the page {path} is there already")
            _put(source, path, contents)


def _put(source: Path, path: str, contents: str | bytes) -> None:
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_bytes(contents.encode() if isinstance(contents, str) else contents)


def run_sphinx(source: Path, out: Path, doctrees: Path) -> None:
    """The pages in HTML.   Raises: BookError with all warnings, if there are any."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    from .conf import OPTIONS

    said = io.StringIO()
    with docutils_namespace():  # a process may make several books
        app = Sphinx(source, None, out, doctrees, "html", dict(OPTIONS), status=None, warning=said, freshenv=True)
        for event in ("source-read", "html-page-context"):
            app.connect(event, lambda *_: raise_lost())
        app.build(force_all=True)
    warnings = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()).replace(f"{source}/", "").strip()
    if warnings or app.statuscode:
        raise BookError(f"{len(warnings.splitlines())} warnings\n{warnings}")
    (out / ".buildinfo").unlink(missing_ok=True)
    shutil.rmtree(out / "_sources", ignore_errors=True)  # an empty folder
