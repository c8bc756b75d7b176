"""Sphinx builds the site (``make docs``) and the manual pages from docs/*.md with these settings."""

import sys
from pathlib import Path

from thinsim import __version__

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "thinsim"
author = "the thinsim authors"
project_copyright = author
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_design",
    "tools.reference_pages.sphinx_extension",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Smart quotes would turn --option into a dash, and the quotes of TOML in help texts into curly ones.
smartquotes = False
# The hand-written parts of the pages of evidence, which are made from them.
exclude_patterns = ["evidence/*-by-hand.md"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_title = "thinsim"
html_theme_options = {"navigation_with_keys": True, "sidebar_hide_name": False}
html_show_sphinx = False
nitpicky = True
man_pages = [
    ("reference/thinsim", "thinsim", "a test bench for thin-provisioned container storage", author, 1),
    (
        "reference/fuse-backing",
        "fuse-backing",
        "serve sparse files and record hole punches",
        author,
        1,
    ),
]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
# The pages link to the project's own names; Python's and the libraries' are not looked up on the network.
nitpick_ignore_regex = [("py:.*", r"(?!thinsim|fuse_backing).*")]
