"""Each guide for a new kind works as it is shown, in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COPIED = ("thinsim", "fuse_backing", "tests", "tools", "docs", "pyproject.toml", "README.md", "Makefile")
SECONDS = 300.0


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in _COPIED:
        place = REPOSITORY / name
        if place.is_dir():
            shutil.copytree(place, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, tmp_path / name)
    return tmp_path


def applied(text: str, change: str) -> str:
    """Return *text* with a change: each added line follows the context above, or replaces the removed one."""
    after = 0
    for line in change.splitlines():
        sign, content = line[:1], f"{line[1:]}\n"
        if sign == "+":
            text = text[:after] + content + text[after:]
            after += len(content)
            continue
        found = text.find(f"\n{content}") + 1
        assert found, f"the registry has no line {content!r}"
        if sign == "-":
            text = text[:found] + text[found + len(content) :]
            after = found
        else:
            after = found + len(content)
    return text


def add_files(page: str, clone: Path) -> None:
    """Write the files of the page's blocks into *clone*, and apply its changes."""
    for language, block in _FENCE.findall(page):
        name, _, body = block.partition("\n")
        if not language:
            continue
        file = clone / name.removeprefix("# ")
        file.write_text(applied(file.read_text(), body) if language == "diff" else body)


def commands(page: str) -> Iterator[str]:
    """Yield the commands of the page's blocks."""
    for language, block in _FENCE.findall(page):
        if not language:
            yield from block.splitlines()


def ran(words: list[str], clone: Path) -> subprocess.CompletedProcess[str]:
    programs = {"python": [sys.executable], "thinsim": [sys.executable, "-m", "thinsim"]}
    # The example's pytest is none of the workers of this one, which run tests on the machine meanwhile.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    beside = {"THINSIM_SHARED_MACHINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**outer, **beside, "PYTHONPATH": str(clone)}
    return subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.mark.parametrize("name", ["rig", "target", "step"])
def test_the_worked_example_of_a_page_works(name: str, clone: Path) -> None:
    page = (REPOSITORY / "docs" / "howto" / f"add-a-{name}.md").read_text()
    add_files(page, clone)
    shown = list(commands(page))
    assert shown
    for line in shown:
        words, _, into = line.partition(" > ")
        unmarked = "not rig and not kernel and not root and not long and not alone"
        more = ["-q", "-n", "0", "-p", "no:cacheprovider", "-m", unmarked] if "pytest" in words else []
        done = ran([*words.split(), *more], clone)
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
        if into:
            (clone / into).write_text(done.stdout)


@pytest.mark.parametrize(
    ("name", "section", "row"),
    [
        (
            "rig",
            "rigs",
            "| `memory` | the emulated dm-thin in the command's own process, on a file in memory",
        ),
        ("target", "targets", "| `delay` | 1.2.1 | The delay target passes requests on after some time"),
        ("step", "scenario-steps", "| `rounds` | integer | `1` | The number of rounds. |"),
    ],
)
def test_the_reference_describes_the_new_kind_without_an_edit(
    name: str, section: str, row: str, clone: Path
) -> None:
    add_files((REPOSITORY / "docs" / "howto" / f"add-a-{name}.md").read_text(), clone)
    line = f"from tools.reference_pages.sections import SECTIONS; print(SECTIONS[{section!r}]())"
    done = ran(["python", "-c", line], clone)
    assert row in done.stdout, done.stderr
