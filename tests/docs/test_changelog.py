"""The changelog grows by fragments: each is Added, Changed or Fixed, and towncrier joins them."""

import re
import subprocess
import sys

import pytest

from tests.repository import REPOSITORY

FRAGMENTS = sorted(
    path for path in (REPOSITORY / "changelog.d").glob("*") if path.name not in ("README.md", ".gitignore")
)
NAME = re.compile(r"(\d+|\+[a-z0-9-]+)\.(added|changed|fixed)\.md")


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_has_a_name_that_sorts_it_and_whole_sentences(path: object) -> None:
    fragment = REPOSITORY / str(path)
    assert NAME.fullmatch(fragment.name), f"{fragment.name}: see changelog.d/README.md"
    text = fragment.read_text().strip()
    assert text[0].isupper() or text[0] == "`"
    assert text.endswith(".")
    assert "\n\n" not in text


def test_the_draft_of_the_next_release_has_every_fragment_in_its_section() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    section = ""
    sections: dict[str, str] = {}
    for line in done.stdout.splitlines():
        if line.startswith("### "):
            section = line.removeprefix("### ").lower()
        sections[section] = sections.get(section, "") + " " + line.strip()
    for fragment in FRAGMENTS:
        words = " ".join(fragment.read_text().split())
        assert words in sections[fragment.name.split(".")[-2]]


def test_the_changelog_has_the_place_where_a_release_is_written() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    before, after = text.split("<!-- towncrier release notes start -->\n")
    assert "## " not in before
    released = re.findall(r"^## (\S+) \((\S+)\)$", after, re.MULTILINE)
    assert released[-1] == ("0.1.0", "unreleased")
