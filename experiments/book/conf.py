"""The settings of Sphinx: one theme, no request, nothing that needs scripts but the search and the explorers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gdjax.version import __version__

BOOK = __package__ or "experiments.book"

OPTIONS: dict[str, Any] = {
    "project": "gdjax",
    "author": "the authors of gdjax",
    "copyright": "the authors of gdjax",
    "release": __version__,
    "extensions": ["myst_parser", f"{BOOK}.mathml"],
    "source_suffix": {".md": "markdown"},
    "root_doc": "index",
    "language": "en",
    "html_theme": "furo",
    "html_title": "gdjax",
    "html_static_path": ["_static"],
    "html_css_files": sorted(path.name for path in (Path(__file__).parent / "static").glob("*.css")),
    "html_math_renderer": "mathml",
    "html_show_search_summary": False,  # a summary is fetched, which a page from disk may not do
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_permalinks_icon": "#",
    "html_theme_options": {"navigation_with_keys": False, "footer_icons": []},
    "pygments_style": "tango",
    "highlight_language": "python",
    "myst_enable_extensions": ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"],
    "myst_heading_anchors": 3,
    "myst_dmath_double_inline": True,
    "smartquotes": False,  # the texts hold code
    "toc_object_entries": False,
}
