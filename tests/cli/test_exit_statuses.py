"""Each exit status has its meaning in the code, and the documents list the same."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import fuse_backing.statuses
import thinsim.cli.statuses
from fuse_backing.cli import cli
from tests.repository import REPOSITORY
from thinsim.cli.main import status_of

OURS = thinsim.cli.statuses
STORES = fuse_backing.statuses


def meanings(module: ModuleType) -> dict[int, str]:
    """Return the docstring below each number of *module*."""
    body = ast.parse(Path(str(module.__file__)).read_text()).body
    found = {}
    for assigned, below in pairwise(body):
        match assigned, below:
            case (
                ast.Assign(targets=[ast.Name()], value=ast.Constant(int(number))),
                ast.Expr(ast.Constant(str(text))),
            ):
                found[number] = text
    names = [name for name in vars(module) if name.isupper()]
    assert len(found) == len(names), "a status without a docstring, or a number twice"
    return found


def table(page: Path) -> dict[int, list[str]]:
    """Return the rows of the page's table of statuses: number to the other cells."""
    rows = page.read_text().split("| status |")[1].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {int(number): rest for number, *rest in cells}


def test_the_readme_lists_every_status_of_both_programs() -> None:
    ours, stores = meanings(OURS), meanings(STORES)
    expected = {number: [ours.get(number, ""), stores.get(number, "")] for number in sorted(ours | stores)}
    assert table(REPOSITORY / "README.md") == expected


def test_the_page_of_commands_lists_every_status_of_thinsim() -> None:
    expected = {number: [text] for number, text in meanings(OURS).items()}
    assert table(REPOSITORY / "docs" / "reference" / "commands.md") == expected


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
