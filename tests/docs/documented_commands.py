"""`commands_of` reads the commands in the blocks of a document. Pure.

A block with prompts (``# command`` or ``$ command``) is a session, in which the output follows each command.
In a block without prompts that names a program of thinsim, each line is a command, with a remark after two
blanks or a ``#``. Such a line may be a synopsis, with placeholders in capitals.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.repository import REPOSITORY

PAGES = (
    REPOSITORY / "README.md",
    *sorted(page for page in (REPOSITORY / "docs").rglob("*.md") if not page.stem.endswith("-by-hand")),
    REPOSITORY / "examples" / "README.md",
)
"""The pages of README and docs; a hand-written part of a page of evidence is read with that page."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:sudo )?(?:\.venv/bin/)?(?:thinsim|fuse-backing) [^`]+)`")
_PROMPT = re.compile(r"[#$] (?=\S)")
_PROGRAM = re.compile(
    r"(?:sudo )?(?:\.venv/bin/)?"
    r"(?:(?:thinsim|fuse-backing|make|eval) |(?:apt-get|pip) install |python3 -m venv )"
)
_REMARK = re.compile(r"(?:  |\s#).*$")
_PLACEHOLDER = re.compile(r"(?<![\w$./-])\[?([A-Z][A-Z_]{2,})\b(?!=)")
_LANGUAGES = ("", "sh", "shell", "bash", "console")


@dataclass(slots=True)
class Shown:
    """`Shown` is a command of *page*; *session* means that it has a prompt, and *output* below it."""

    page: Path
    text: str
    session: bool
    output: list[str] = field(default_factory=list)

    @property
    def placeholders(self) -> list[str]:
        """Return the placeholders of the command."""
        return _PLACEHOLDER.findall(self.text)

    @property
    def words(self) -> list[str]:
        """Return the words of the command, without sudo and the directory of the program."""
        words = self.text.removeprefix("sudo ").removeprefix(".venv/bin/").split()
        return [word.strip("[](),") for word in words]

    def alternatives(self) -> list[str]:
        """Return the command lines that are meant: ``thinsim pool list | status NAME`` means two."""
        if self.session or " | " not in self.text:
            return [self.text]
        first, *others = self.text.split(" | ")
        return [first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)]


def page_name(page: Path) -> str:
    """Return a page's name: its path below docs, or below the clone."""
    for root in (REPOSITORY / "docs", REPOSITORY):
        if page.is_relative_to(root):
            return str(page.relative_to(root))
    return str(page)


def commands_of(page: Path) -> Iterator[Shown]:
    """Yield the commands of a page's blocks, in order."""
    for language, block in _FENCE.findall(page.read_text()):
        if language in _LANGUAGES:
            yield from _commands_in(page, block)


def without_blocks(text: str) -> str:
    """Return a page's text without its blocks."""
    return _FENCE.sub("", text)


def inline_commands_of(page: Path) -> Iterator[Shown]:
    """Yield the commands that the text of a page names."""
    for text in _INLINE.findall(without_blocks(page.read_text())):
        yield Shown(page, " ".join(text.split()).split(" | ")[0], session=False)


def block_that_begins(page: Path, words: str) -> list[str]:
    """Return the lines of the page's block whose first line begins with *words*."""
    return next(
        block.splitlines() for _, block in _FENCE.findall(page.read_text()) if block.startswith(words)
    )


def _commands_in(page: Path, block: str) -> Iterator[Shown]:
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    if any(_PROMPT.match(line) for line in lines):
        shown = None
        for line in lines:
            if _PROMPT.match(line):
                if shown is not None:
                    yield shown
                shown = Shown(page, _PROMPT.sub("", line, count=1), session=True)
            elif shown is not None:
                shown.output.append(line)
        if shown is not None:
            yield shown
    elif any(_PROGRAM.match(line) for line in lines):
        for line in filter(None, lines):
            yield Shown(page, _REMARK.sub("", line).rstrip(), session=False)
