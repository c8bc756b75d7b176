"""`named_in_text` finds the commands in the text of a page; `Named` checks whether another covers one. Pure.

A text names a command such as ``thinsim run NAME --rig vm``. A command in a block of any page covers it if it
is the same command of the same program and has all its options, with the same values unless they are
placeholders in capitals. Any command of a group covers the name of the group.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from fuse_backing.cli import cli
from tests.docs.documented_commands import without_blocks
from tests.repository import REPOSITORY
from thinsim.cli.main import commands

TEXTS = (REPOSITORY / "CONTRIBUTING.md",)
"""The documents, beside the pages, whose text names commands."""

PROGRAMS: dict[str, click.Command] = {"thinsim": commands, "fuse-backing": cli}
_MODULES = {"thinsim": "thinsim", "fuse_backing": "fuse-backing"}
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_CELL = re.compile(r"^\| `([^`]+)`", re.MULTILINE)
_BETWEEN = re.compile(r"\s*(?:;|&&|\|\||\$\(|\)|(?<!\S)--(?!\S))\s*")
_AHEAD = re.compile(r"^(?:(?:sudo|exec|env|eval|[A-Z_]+=\S*)\s+|\.venv/bin/)*")
_OPEN = re.compile(r"^\[?[A-Z][A-Z_0-9/]*\b")


@dataclass(frozen=True, slots=True)
class Named:
    """`Named` is a *program* with its words and its options by first name; the value of a flag is empty."""

    program: str
    path: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def covers(self, other: "Named") -> bool:
        """Return whether running this command covers *other*."""
        if self.program != other.program or self.path[: len(other.path)] != other.path:
            return False
        return all(self._has(name, value) for name, value in other.options)

    def _has(self, name: str, value: str) -> bool:
        return any(
            own == name and (_OPEN.match(value) or has in value.split("|")) for own, has in self.options
        )

    def __str__(self) -> str:
        options = (f" {name} {value}".rstrip() for name, value in self.options)
        return " ".join((self.program, *self.path)) + "".join(options)


def named_in_text(page: Path) -> Iterator[Named]:
    """Yield the commands and make targets that a page's text names; tables leave out ``thinsim``."""
    text = without_blocks(page.read_text())
    for code in _CODE.findall(text):
        yield from named_in(code)
    for cell in _CELL.findall(text):
        group = commands.get_command(click.Context(commands), cell.split()[0])
        if isinstance(group, click.Group) and " " in cell:
            yield from named_in(f"thinsim {cell}")


def named_in(line: str) -> Iterator[Named]:
    """Yield the project's commands in a line of shell."""
    for piece in _BETWEEN.split(" ".join(line.split())):
        words = _words(_AHEAD.sub("", piece))
        if words[:2] in (["python", "-m"], ["python3", "-m"]) and len(words) > 2:
            module, *rest = words[2:]
            words = [_MODULES.get(module, f"python -m {module}"), *rest]
        if not words or (len(words) == 1 and not words[0].startswith("python -m")):
            continue  # the name of a program alone is no command
        program, *rest = words
        if program in PROGRAMS:
            yield _parsed(program, rest)
        elif program == "make":
            yield from (Named("make", (word,)) for word in rest[:1] if re.fullmatch(r"[a-z][a-z-]*", word))
        elif program.startswith("python -m"):
            yield Named(program, ())


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _parsed(program: str, words: Sequence[str]) -> Named:
    command, path, rest = PROGRAMS[program], [], list(words)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            break
        command = found
        path.append(rest.pop(0))
    takes = {
        name: (parameter.opts[0], isinstance(parameter, click.Option) and not parameter.is_flag)
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    options = []
    while rest:
        word, _, value = rest.pop(0).strip("[],").partition("=")
        if word in takes and word.startswith("-"):
            name, has_value = takes[word]
            options.append((name, value or (rest.pop(0).strip("[],") if has_value and rest else "")))
        elif word.startswith("--"):
            options.append((word, ""))
    return Named(program, tuple(path), tuple(options))
