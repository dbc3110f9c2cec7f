"""How Sphinx makes the documentation: ``make docs``."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

import supersoniq

project = "SupersoniQ"
author = "The SupersoniQ authors"
copyright = author
release = version = supersoniq.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
root_doc = "index"
exclude_patterns = ["build"]
nitpicky = False  # docstrings name types as a reader writes them, not by their full path

html_theme = "furo"
html_title = "SupersoniQ"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "mailto": None}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def only_named(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to a file of the repository that is no page leads nowhere on the site: name it."""
    source[0] = re.sub(r"\[([^]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", source[0])


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("source-read", only_named)
