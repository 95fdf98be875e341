"""Equations as MathML, written when the book is built: an extension of Sphinx over latex2mathml.

A formula that cannot be converted is a warning at its place, and so an error of the build.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
ALIGNED = re.compile(r"\\\\|(?<!\\)&")  # rows or columns outside of an environment, as amsmath's aligned has them


def to_mathml(latex: str, display: str = "inline") -> str:
    """The formula as an element <math>.

    Raises: ValueError for what latex2mathml does not know, which it would pass on as text.
    """
    if display == "block" and ALIGNED.search(latex) and r"\begin{" not in latex:
        latex = rf"\begin{{align*}}{latex}\end{{align*}}"
    try:
        found = convert(latex.strip(), display=display)
    except Exception as error:
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    unknown = re.search(r"\\[a-zA-Z]+", found)
    if unknown:
        raise ValueError(f"{unknown[0]} is not known")
    return found


def write(self: Any, node: nodes.math | nodes.math_block, display: str) -> None:
    """Append the formula to the page."""
    try:
        found = to_mathml(node.astext(), display)
    except ValueError as error:
        LOGGER.warning("no MathML for %r: %s", node.astext(), error, location=node)
        found = ""
    self.body.append(f'<div class="math">{found}</div>\n' if display == "block" else found)


def write_inline(self: Any, node: nodes.math) -> None:
    write(self, node, "inline")
    raise nodes.SkipNode


def write_block(self: Any, node: nodes.math_block) -> None:
    write(self, node, "block")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
