"""The explorers: a descent that answers to sliders, and the backward pass of any expression, step by step."""

from __future__ import annotations

from pathlib import Path

from ..explorer.pages import HERE, SCRIPTS, page, static_files


def pages(lab: Path) -> dict[str, str | bytes]:
    """The pages of the explorers with their scripts; nothing of the lab is needed."""
    texts = {f"explorer/{name}.md": page(name) for name in SCRIPTS}
    return {"explorer/index.md": (HERE / "index.md").read_text(), **texts, **static_files()}
