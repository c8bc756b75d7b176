"""Every module has a docstring whose first sentence has at most twenty words."""

import ast
import re

import pytest

from tests.repository import REPOSITORY
from tests.test_class_names import source_files

MOST_WORDS = 20


def first_sentence(source: str) -> str:
    """Return the first sentence of a module's docstring, in one line; empty without one."""
    text = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(re.split(r"(?<=[.;])\s+(?=[A-Z`\"])|\n\n", text, maxsplit=1)[0].split())


def test_the_first_sentence_of_a_module_is_short() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): first_sentence(path.read_text())
        for path in source_files()
        if path.stat().st_size
    }
    assert {file: words for file, words in found.items() if not 0 < len(words.split()) <= MOST_WORDS} == {}


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Lists rigs.", "Lists rigs."),
        ("Lists rigs. Picks one.", "Lists rigs."),
        ("Lists rigs and\npicks one.\n\nThe best is first.", "Lists rigs and picks one."),
        ("Reads dm-thin.c, e.g. a table.", "Reads dm-thin.c, e.g. a table."),
    ],
)
def test_a_sentence_ends_where_the_next_begins(docstring: str, sentence: str) -> None:
    assert first_sentence(f'"""{docstring}"""\n') == sentence
