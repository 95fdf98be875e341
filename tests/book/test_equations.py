"""The equations of docstrings are typeset whole: every one, with its names, numbers and brackets in their order."""

import inspect
import re
import textwrap
from xml.etree import ElementTree

import pytest

import gdjax as gd
from experiments.book.equations import display, lines_of, names_in, remark
from experiments.book.generators import optimizer_pages
from experiments.book.notation import GREEK, mathml, tokens
from gdjax.schedules import SCHEDULES

CATALOGUES = [*gd.OPTIMIZERS.values(), *gd.WRAPPERS.values(), *gd.TRANSFORMS.values(), *SCHEDULES.values()]


def blocks():
    """(name, block, arguments) of all equations of the catalogues."""
    for factory in CATALOGUES:
        before = re.split(r"^(?:Args:|>>>)", inspect.getdoc(factory), flags=re.MULTILINE)[0]
        for block in re.findall(r"(?:^ {4}.*\n?)+", before, re.MULTILINE):
            yield factory.__name__, textwrap.dedent(block), [*inspect.signature(factory).parameters]


def letters(text):
    """All letters and digits of a statement, however they are grouped: Greek as one letter, hats and signs left out."""
    for name in sorted(GREEK, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z]){name}(?![a-z])", GREEK[name], text)
    text = (
        re.sub(r"(?<!\w)sqrt(?=\()|(?<!\w)sum(?=_[a-z]\b| (?!of))", "", text).replace("_hat", "").replace("cbrt(", "3(")
    )
    text = re.sub(r"(?<![\w.])1e-(\d+)", r"10\1", text.replace("²", "2").replace("³", "3"))
    return re.sub(r"[^A-Za-z0-9α-ω]", "", text.replace("^T", "").replace("inf", ""))


def test_every_equation_is_typeset_with_all_that_it_says():
    found = list(blocks())
    assert len(found) > 100
    for name, block, arguments in found:
        known = names_in(block, arguments)
        ElementTree.fromstring(display(block, arguments, lambda word: word))
        for line in lines_of(block, known):
            for text, it_is in line:
                if it_is:
                    made = "".join(ElementTree.fromstring(f"<m>{mathml(text.rstrip(' ,;'), known)}</m>").itertext())
                    assert sorted(letters(text)) == sorted(letters(made)), (name, text, made)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a b / c d", "(a b/c) d"),
        ("a b/c d", "a (b/c) d"),
        ("g / (|g| + eps)", "(g/|g|+ε)"),
        ("sqrt(nu_hat + eps_root)", "√ν^+ε_root"),
        ("s y'/s'y", "(s y⊤/s⊤y)"),
        ("b1^(t+1) - 2^-i", "b_1^t+1−2^−i"),
        ("a b / sum_i c d", "(a b/∑_i c d)"),
        ("sum_i m_i l_i / sum_i m_i + a", "(∑_i m_i l_i/∑_i m_i)+a"),
        ("(sum g_i + z) / n", "(∑ g_i+z/n)"),
        ("sum(s) a / mean(s) b", "(sum(s) a/mean(s)) b"),
        ("a - w·mean(x) b", "a−w·mean(x) b"),
        ("0 if s < 0, else -d", "0 if s<0, else −d"),
        ("x_{i+1} - x⁶/6", "x_i+1−(x^6/6)"),
    ],
)
def test_products_and_quotients_are_read_as_they_are_meant(text, shape):
    assert outline(ElementTree.fromstring(f"<mrow>{mathml(text, {'eps_root'})}</mrow>")) == shape


def outline(node):
    """MathML as plain text with fractions in brackets."""
    inner = [outline(child) for child in node]
    kind = node.tag
    if kind == "mfrac":
        return f"({inner[0]}/{inner[1]})"
    if kind == "mspace":
        return " "
    if kind in ("msup", "msub"):
        mark = "" if inner[1] == "⊤" else "^" if kind == "msup" else "_"
        return mark.join(inner)
    return (("√" if kind == "msqrt" else "") + (node.text or "")) + "".join(inner)


def test_words_beside_an_equation_keep_their_apostrophes_and_endings():
    shown = remark("at every `k`-th; h the Hessian's diagonal, y'y", {"h", "y"}, lambda name: f"<a>{name}</a>")
    assert shown.startswith("<span>at every <a>k</a>-th; <math") and " the Hessian&#x27;s diagonal, <math" in shown
    assert shown.count("⊤") == 1


def test_an_equation_that_is_none_is_refused():
    for text in ("u = (g", "u = g @ p", "u = / g"):
        with pytest.raises(ValueError):
            mathml(text, ())
    assert [item.text for item in tokens("1e-3 mu_hat²")] == ["1e-3", "mu_hat", "²"]


def test_each_name_of_the_catalogues_has_a_page_with_what_its_docstring_says(tmp_path, monkeypatch):
    for drawn in ("descents", "curves"):
        monkeypatch.setattr(optimizer_pages, drawn, lambda factories: {})
    pages = optimizer_pages.pages(tmp_path)
    assert len(pages) == len(CATALOGUES) + 1
    for factory in CATALOGUES:
        page, doc = pages[f"optimizers/{factory.__name__}.md"], inspect.getdoc(factory)
        assert page.startswith(f"# {factory.__name__}\n") and f".{factory.__name__}(" in page
        assert all(f"`{name}`" in page for name in inspect.signature(factory).parameters if f"{name}:" in doc)
        assert ("**Memory:**" in page) == ("Memory:" in doc) and ("## Differs from" in page) == ("Differs from:" in doc)
        assert ("## Reference" in page) == ("\nReference:" in doc)
        for target in re.findall(r"\]\((\w+\.md)\)", page):
            assert f"optimizers/{target}" in pages, target
        for target in re.findall(r'href="(\w+)\.html"', page):
            assert f"optimizers/{target}.md" in pages, target
    assert all(
        f"[`{factory.__name__}`]({factory.__name__}.md)" in pages["optimizers/index.md"] for factory in CATALOGUES
    )
