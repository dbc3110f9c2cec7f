"""How Sphinx makes the documentation: ``make docs``."""

from __future__ import annotations

import supersoniq

project = "SupersoniQ"
author = "The SupersoniQ authors"
release = version = supersoniq.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinxcontrib.mermaid",
]
root_doc = "index"
exclude_patterns = ["build"]
nitpicky = False  # docstrings name types as a reader writes them, not by their full path

html_theme = "furo"
html_title = "SupersoniQ"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# What lies beside docs/ is a link to the source, not a page.
myst_url_schemes = {"http": None, "https": None, "mailto": None}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
