"""The extension replaces the fences of generated sections while Sphinx reads a page.

A page whose text comes from the code is read again in every build: Sphinx looks only at the page's file.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from tools.reference_pages.sections import with_sections

_FROM_CODE = ("```{generated}", ".. click::", ".. auto")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the events of a build."""
    app.connect("source-read", _fill_in)
    app.connect("env-get-outdated", _from_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = with_sections(source[0])


def _from_code(
    app: Sphinx, environment: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    pages = environment.found_docs - added - changed
    return [
        page for page in pages if any(mark in environment.doc2path(page).read_text() for mark in _FROM_CODE)
    ]
