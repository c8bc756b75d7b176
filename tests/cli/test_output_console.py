"""A console breaks no line that a user copies, and a pipe gets no padding."""

import subprocess
import sys

import pytest
from rich.table import Table

from thinsim.cli.output_console import notes_console, output_console


def test_a_table_in_a_pipe_has_no_blanks_at_the_ends_of_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", "state", box=None)
    table.add_row("a", "running")
    table.add_row("long name", "x")
    output_console().print(table)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["a", "running"]
    assert [line for line in printed if line != line.rstrip()] == []


def test_a_command_with_standard_output_closed_works() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m thinsim scenarios list >&-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_path_on_standard_error_is_not_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = f"/tmp/{'directory with blanks/' * 5}file"
    notes_console().print(f"kept: {path}", highlight=False)
    assert f"kept: {path}\n" in capsys.readouterr().err
