"""Configures Sphinx for the site (``make docs``) and the manual pages (``make man``) from docs/*.md."""

from thinsim import __version__

project = "thinsim"
author = "the thinsim authors"
project_copyright = author
release = __version__
extensions = ["myst_parser", "sphinx_click", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Part of fidelity.md, which is made from it.
exclude_patterns = ["evidence/fidelity-by-hand.md"]
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
