"""The check of words finds each fault that the style page names, and leaves plain sentences alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from tools.plain_english.docstrings import docstring_faults, first_sentence, protocol_methods
from tools.plain_english.faults import faults_in
from tools.plain_english.passages import Passage, passages_of

BEFORE_AND_AFTER = [
    ("What was mounted is unmounted.", "The command unmounts every file system that it mounted."),
    ("Of the pool; repeat to grow.", "The size of the pool. Repeat the option to grow the pool."),
    ("How often a block was met.", "`References` counts the uses of each block."),
    ("Whether the pool is full.", "Return whether the pool is full."),
    ("Where the pool's files go.", "The directory of the pool's files."),
    ("It says why it failed.", "It prints the reason."),
    ("The user is told so.", "The command prints a warning."),
    ("pool demo stands", "Created pool demo."),
    ("This mends the style.", "This fixes the style."),
    ("The host was given all of it back.", "The host freed all of it."),
    ("A command that there is not.", "The command does not exist."),
    ("It lists what there is.", "It lists the valid names."),
    ("It prints a line an operation.", "It prints one line per operation."),
    ("The first column is a time, too.", "The first column is also a time."),
    ("Errors are recorded also.", "It also records errors."),
    ("It is written anew.", "It is written again."),
    ("A command of thinsim's reads it.", "A thinsim command reads it."),
    ("the bench ends", "thinsim ends"),
    ("See MetadataStore.", "Return the number of free blocks."),
]


@pytest.mark.parametrize(("before", "after"), BEFORE_AND_AFTER)
def test_a_fault_is_found_and_its_plain_form_is_none(before: str, after: str) -> None:
    assert list(faults_in(before))
    assert list(faults_in(after)) == []


@pytest.mark.parametrize(
    "plain",
    [
        "What is a thin pool?",
        "What to do when the disk is full",
        "Understanding the pool takes a minute.",
        "The emulated device-mapper stands in for the kernel's.",
        "The kernel answers `what there is` and ``says``.",
        'dmsetup prints "what it says".',
        "The range is too large.",
        "It calls a function and records an event.",
        "Where the kernel has no device-mapper, thinsim emulates it.",
    ],
)
def test_a_question_code_and_other_peoples_words_are_no_fault(plain: str) -> None:
    assert list(faults_in(plain)) == []


SOURCE = '''"""Holds things."""

class Pool:
    """A pool that maps."""

    limit = 1
    """What it may have."""

    def used(self):
        """The number of used blocks."""
        raise ValueError(f"{self} says no more")  # what comes

    def free(self):
        return "as it stands in dmsetup"  # words: quoted
'''


def test_docstrings_comments_and_messages_of_python_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pool.py"
    path.write_text(SOURCE)
    found = {words for passage in passages_of(path) for words, _ in faults_in(passage.text)}
    assert found == {"What it may have.", "says", "what comes"}
    without = {words for passage in passages_of(path, messages=False) for words, _ in faults_in(passage.text)}
    assert without == {"What it may have.", "what comes"}


def test_a_docstring_has_a_subject_and_a_verb_and_a_functions_begins_with_one() -> None:
    found = docstring_faults(ast.parse(SOURCE), frozenset(), required=True)
    assert sorted((line, advice.split(":")[0]) for line, _, advice in found) == [
        (1, "no subject"),
        (3, "no verb"),
        (9, "begin with the verb"),
        (13, "write a docstring"),
    ]


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("A list has rigs.", "A list has rigs."),
        ("A list has rigs. One runs.", "A list has rigs."),
        ("A list has rigs and\ntargets.\n\nThe best is first.", "A list has rigs and targets."),
        ("A reader reads dm-thin.c, e.g. a table.", "A reader reads dm-thin.c, e.g. a table."),
    ],
)
def test_a_sentence_ends_where_the_next_begins(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_a_modules_first_sentence_has_at_most_20_words() -> None:
    words = "A module has " + "many " * 17
    (found,) = docstring_faults(ast.parse(f'"""{words}words."""'), frozenset(), required=False)
    assert found[2] == "write at most 20 words"
    assert not list(
        docstring_faults(
            ast.parse(f'"""{words.replace("many ", "", 1)}words."""'), frozenset(), required=False
        )
    )


def test_a_method_that_a_protocol_documents_needs_no_docstring() -> None:
    protocol = ast.parse('class Store(Protocol):\n    def free(self):\n        """Return free blocks."""\n')
    documented = protocol_methods([protocol])
    assert documented == {"free"}
    lines = [line for line, *_ in docstring_faults(ast.parse(SOURCE), documented, required=True)]
    assert sorted(lines) == [1, 3, 9]


@pytest.mark.parametrize(
    ("name", "text", "passages"),
    [
        ("a.md", "# Head\n\nOne\ntwo.\n\n```\ncode\n```\n- item\n", ["Head", "One two.", "item"]),
        ("a.md", "| a | b |\n|---|---|\n| c | d |\n", ["a", "b", "---", "---", "c", "d"]),
        (
            "a.c",
            '/* One\n * two. */\nint a; // three\nchar *b = "no more space";\n',
            ["One\n two.", "three", "no more space"],
        ),
        ("a.toml", "# One\n# two.\nkey = 1\n# three\n", ["One two.", "three"]),
    ],
)
def test_the_text_of_other_files_is_read(name: str, text: str, passages: list[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert [passage.text.strip() for passage in passages_of(path)] == passages


def test_a_passage_knows_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("One.\n\nTwo\nlines.\n")
    assert list(passages_of(path)) == [Passage(1, "One."), Passage(3, "Two lines.")]


def test_the_command_lists_each_fault_with_its_place_and_ends_with_status_1() -> None:
    bad = REPOSITORY / "docs" / "zz-words-at-fault.md"
    bad.write_text("# Fine\n\nIt says more.\n")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tools.plain_english", str(bad.relative_to(REPOSITORY))],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        bad.unlink()
    assert done.returncode == 1
    assert done.stdout == "docs/zz-words-at-fault.md:3: 'says': write print, report, state or name\n"
    assert "1 faults; CONTRIBUTING.md" in done.stderr
