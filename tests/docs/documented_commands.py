"""The commands that the documents show, read from their fenced blocks. Pure.

A block with prompts (``# command``) is a session: what follows a command is its output. In a block without
any, each line that begins with a program of ours is a command, with a remark behind three blanks or a ``#``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "# "
_PROGRAM = re.compile(r"(?:sudo )?(?:\.venv/bin/)?(?:thinsim|fuse-backing|make|eval) ")
_REMARK = re.compile(r"(?:   |\s#).*$")
_PLACEHOLDER = re.compile(r"(?<![\w$./-])\[?[A-Z][A-Z_]{2,}\b(?!=)")
_LANGUAGES = ("", "sh", "shell", "bash", "console")


@dataclass(frozen=True, slots=True)
class Shown:
    """A command of *page*; *session* if it stands behind a prompt, so that it was run as it is."""

    page: Path
    text: str
    session: bool

    @property
    def is_synopsis(self) -> bool:
        """Whether it has words to be filled in, in capitals."""
        return bool(_PLACEHOLDER.search(self.text)) or (" | " in self.text.split("#")[0] and not self.session)

    @property
    def words(self) -> list[str]:
        """The words, without sudo and the directory of the program."""
        words = self.text.removeprefix("sudo ").removeprefix(".venv/bin/").split()
        return [word.strip("[](),") for word in words]


def commands_of(page: Path) -> Iterator[Shown]:
    """Yield the commands of a page, in order."""
    for language, block in _FENCE.findall(page.read_text()):
        if language in _LANGUAGES:
            yield from _commands_in(page, block)


def _commands_in(page: Path, block: str) -> Iterator[Shown]:
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith(_PROMPT) for line in lines):
        for line in lines:
            if line.startswith(_PROMPT):
                yield Shown(page, line.removeprefix(_PROMPT), session=True)
        return
    for line in lines:
        if _PROGRAM.match(line):
            yield Shown(page, _REMARK.sub("", line).rstrip(), session=False)
