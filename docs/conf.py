"""How Sphinx builds the documentation site (`make site`). The pages are Markdown that is readable without it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "clients/python/src"))

project = "Openline"
author = "The Openline authors"
copyright = "The Openline authors"  # noqa: A001 (Sphinx' name)
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
exclude_patterns = ["README.md"]  # what index.md is in a repository's browser
html_theme = "furo"
html_title = "Openline"
html_favicon = "../web/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
suppress_warnings = ["misc.highlighting_failure"]  # of requests that a page shows in part
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


def name_files_of_the_repository(_app: Sphinx, page: str, source: list[str]) -> None:
    """Turn links to files outside `docs` into their names: the site does not hold them."""
    folder = (DOCS / page).parent

    def named(link: re.Match[str]) -> str:
        target = (folder / link[2].split("#")[0]).resolve()
        if target.is_relative_to(DOCS) or not target.exists():
            return link[0]
        return link[1] if link[1].startswith("`") else f"{link[1]} (`{target.relative_to(ROOT)}`)"

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\.?/[^)\s]+)\)", named, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", name_files_of_the_repository)
