"""The book, built from a small lab and opened from disk with the network off."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from experiments.book import build

pytestmark = pytest.mark.browser

ROOT = Path(build.__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LINK = re.compile(r'<(?:a|link|img|script|source|iframe)\b[^>]*?\b(?:href|src)="([^"]*)"')
IDENTIFIER = re.compile(r'\b(?:id|name)="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a lab with two experiments."""
    place = tmp_path_factory.mktemp("book")
    for module, *options in (
        ("experiments", "--out", place / "lab", "--only", "find_the_minimum", "loss_examples", "--jobs", "2"),
        ("experiments.book", "--lab", place / "lab", "--out", place / "site"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, options)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return place / "site"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, **options):
    """A page without a network, and what it has complained of or asked for."""
    page, said = browser.new_context(offline=True, **options).new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else said.append(asked.url))
    return page, said


def pages_of(site):
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)


@pytest.mark.filterwarnings("default")  # those of Sphinx
def test_a_site_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """A wrong formula and a lost link are told with their lines, and the site before stays as it was."""

    def one_page(source, lab):
        shutil.copytree(build.PLACE / "static", source / "_static")
        (source / "index.md").write_text(page)

    monkeypatch.setattr(build, "write_source", one_page)
    lab = tmp_path / "lab"
    lab.mkdir()
    with pytest.raises(FileNotFoundError, match="is no lab"):
        build.build(tmp_path / "site", lab)
    (lab / "index.json").write_text("{}")
    page = "# One\n\n$\\sqrt{x}$\n"
    assert build.build(tmp_path / "site", lab) == 3
    before = (tmp_path / "site" / "index.html").read_text()
    page = "# Two\n\n$\\frob{x}$\n\n[lost](lost.md)\n"
    with pytest.raises(build.BookError, match=r"^2 warnings\n(?s:.*)lost\.md(?s:.*)index\.md:3: .*frob is not known"):
        build.build(tmp_path / "site", lab)
    assert (tmp_path / "site" / "index.html").read_text() == before and "<math" in before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "site"]


def test_every_link_leads_somewhere(site):
    """Of every page, every picture, script and style is there, and every link within the book has its place."""
    texts = {path: (site / path).read_text() for path in pages_of(site)}
    places = {path: set(map(html.unescape, IDENTIFIER.findall(text))) for path, text in texts.items()}
    lost = []
    for path, text in texts.items():
        for found in LINK.findall(text):
            target, place = urldefrag(html.unescape(found))
            if re.match(r"[a-z]+:", target):
                continue
            place = "" if "=" in place else place  # the state of an explorer
            file = (site / path).parent / unquote(target.partition("?")[0]) if target else site / path
            name = os.path.relpath(file, site)
            if not file.is_file() or (place and name in places and unquote(place) not in places[name]):
                lost.append((path, found))
    assert lost == []
    assert len(texts) > 40 and json.loads((site / build.MARK).read_text())["pages"] == len(texts)


def test_nothing_is_fetched_but_from_disk(site):
    """No page asks for a style, a script, a font or a picture from elsewhere."""
    for path in pages_of(site):
        text = (site / path).read_text()
        assert not re.findall(r'<(?:link|img|script|source|iframe)\b[^>]*\b(?:href|src)="(?:https?:)?//', text), path
    for path in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//", path.read_text()), path


def test_pages_are_whole_and_silent(site, browser):
    """Every page of the first two levels and one in eight of the others, in Chromium: pictures there, nothing said."""
    page, said = opened(browser)
    names = [
        path for i, path in enumerate(pages_of(site)) if path.endswith("index.html") or "/" not in path or i % 8 == 0
    ]
    for path in names:
        page.goto((site / path).as_uri())
        broken = "[...document.images].filter(x => !x.complete || !x.naturalWidth).map(x => x.src)"
        page.wait_for_function("[...document.images].every(x => x.complete)")
        assert page.evaluate(broken) == [], path
        assert said == [], path


def test_no_page_is_wider_than_a_telephone(site, browser):
    """Tables and equations that are wider scroll by themselves."""
    page, _ = opened(browser, viewport={"width": 390, "height": 800})
    for path in ("index.html", "tutorial.html", "rooms/training.html", "proof.html", "lab/find_the_minimum.html"):
        page.goto((site / path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_search_answers(site, browser):
    page, said = opened(browser)
    page.goto((site / "index.html").as_uri())
    page.fill("input[name=q]", "patience evaluations")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results ul.search li")
    found = page.eval_on_selector_all(
        "#search-results ul.search li a", "links => links.map(x => x.getAttribute('href'))"
    )
    assert any("rooms/stopping.html" in each for each in found)
    page.goto((site / "search.html").as_uri() + "?q=qwertyuiop")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")
    assert said == []


def test_pages_are_read_without_scripts(site, browser):
    page, said = opened(browser, java_script_enabled=False)
    page.goto((site / "index.html").as_uri())
    page.click("article a:has-text('Ten minutes')")
    assert page.inner_text("h1").startswith("Ten minutes")
    assert "gd.fit(" in page.inner_text("article") and page.is_visible("img[alt^='Loss and accuracy']")
    page.click(".sidebar-tree a:has-text('The rooms')")
    page.click("article table a:has-text('training')")
    assert "BUDGET" not in page.inner_text("h1") and page.is_visible("article h2 >> nth=0")
    assert said == []


def test_the_explorers_answer_within_the_book(site, browser):
    page, said = opened(browser, color_scheme="light")
    canvases = "[...document.querySelectorAll('.explorer canvas')].map(canvas => canvas.toDataURL())"
    page.goto(
        (site / "explorer/descent.html").as_uri() + "#landscape=bowl10&optimizer=sgd&rate=0.05&start=2,2&steps=100"
    )
    page.wait_for_function("gdjax.page?.kinds")
    assert "Converges after 34 steps" in page.locator(".ending").text_content()
    before = page.evaluate(canvases)
    page.focus("[name=rate-slider]")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert "Diverges" in page.locator(".ending").text_content()
    page.fill("[name=rate]", "0.05")
    page.wait_for_function("gdjax.page.kinds")
    assert page.evaluate(canvases) == before
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.wait_for_timeout(200)
    assert all(a != b for a, b in zip(page.evaluate(canvases), before, strict=True))
    page.goto((site / "explorer/backprop.html").as_uri())
    page.click("[name=last]")
    assert "by x −4, by y −4, by z 3" in page.locator(".saying").text_content() and said == []
