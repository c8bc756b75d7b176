"""Each exit status has its meaning in the code, and the one table for users comes from there."""

import ast
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from click.testing import CliRunner

import fuse_backing.statuses
import thinsim.cli.statuses
from fuse_backing.cli import cli
from tests.repository import REPOSITORY
from thinsim.cli.main import status_of
from tools.reference_pages.docstrings import constants
from tools.reference_pages.sections import sections_of, with_sections
from tools.reference_pages.statuses import PROGRAMS

OURS = thinsim.cli.statuses
STORES = fuse_backing.statuses


def meanings(module: ModuleType) -> dict[int, str]:
    """Return the docstring below each number of *module*."""
    found = dict(constants(module).values())
    names = [name for name in vars(module) if name.isupper()]
    assert len(found) == len(names), "a number twice"
    assert all(found.values()), "a status without a docstring"
    return found


def rows(section: str) -> dict[int, str]:
    """Return the rows of a generated table of statuses: number to meaning."""
    lines = with_sections(f"```{{generated}} {section}\n```").splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {int(number.strip("`")): meaning for number, meaning in cells}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_table_of_a_program_has_every_status_of_the_code(program: str) -> None:
    assert rows(f"exit-statuses-{program}") == meanings(PROGRAMS[program])


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_of_exit_statuses_and_the_manual_page_have_the_table(program: str) -> None:
    for page in ("exit-statuses", program):
        text = (REPOSITORY / "docs" / "reference" / f"{page}.md").read_text()
        assert f"exit-statuses-{program}" in sections_of(text)


def test_no_page_has_a_copy_of_the_table() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
    texts = {text for module in PROGRAMS.values() for text in meanings(module).values() if len(text) > 40}
    assert [page.name for page in pages if any(text in page.read_text() for text in texts)] == []


def bare_numbers(source: str) -> Iterator[int]:
    """Yield the lines where a function returns a number for a status, or a program exits with one."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Return(value=ast.Constant(int(_) as value)) if not isinstance(value, bool):
                yield node.lineno
            case ast.Return(value=ast.IfExp(body=one, orelse=other)):
                if any(isinstance(each, ast.Constant) and type(each.value) is int for each in (one, other)):
                    yield node.lineno
            case ast.Call(func=function, args=[ast.Constant(int(_))]):
                if re.fullmatch(r"(SystemExit|sys\.exit|.*\.exit|.*\.Exit)", ast.unparse(function)):
                    yield node.lineno


def test_no_command_ends_with_a_number_of_its_own() -> None:
    files = [*(REPOSITORY / "thinsim" / "cli").rglob("*.py"), REPOSITORY / "fuse_backing" / "cli.py"]
    found = {str(file.relative_to(REPOSITORY)): list(bare_numbers(file.read_text())) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return 1",
        "def f():\n    return 1 if bad else DONE",
        "\nraise SystemExit(130)",
        "\nsys.exit(1)",
    ],
)
def test_a_bare_number_is_seen(source: str) -> None:
    assert list(bare_numbers(source)) == [2]


def test_a_wrong_command_line_has_the_number_that_click_gives_it() -> None:
    assert status_of(["no-such-command"]) == OURS.WRONG_WORDS
    assert status_of(["scenarios", "list"]) == OURS.DONE
    assert status_of(["report", "/dev/null"]) == OURS.FAILED
    assert CliRunner().invoke(cli, ["no-such-command"]).exit_code == STORES.WRONG_WORDS
    assert CliRunner().invoke(cli, ["--version"]).exit_code == STORES.DONE
    assert CliRunner().invoke(cli, ["unmount", "/dev"]).exit_code == STORES.FAILED
