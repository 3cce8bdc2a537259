"""How Sphinx makes the site: `make docs`. Nothing is fetched from the network."""

import symtensor

project = "symtensor"
author = "the symtensor developers"
release = version = symtensor.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "symtensor"
html_show_copyright = False
myst_heading_anchors = 3
default_role = "code"  # docstrings quote names in single backticks
autodoc_typehints = "none"  # signatures of many TensorLike read better without
autodoc_member_order = "bysource"
nitpicky = False
