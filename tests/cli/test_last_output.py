"""Output that can't be written fails a command, and never changes the status of one that failed before."""

import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.cli.last_output import last_output
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED

FULL = Path("/dev/full")


@pytest.mark.parametrize(("status", "ends_with"), [(DONE, FAILED), (INTERRUPTED, INTERRUPTED)])
def test_output_that_can_not_be_written_is_a_failure(
    status: int, ends_with: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FULL.open("w") as full:  # its end would fail if the flush left it as it was
        full.write("text")
        monkeypatch.setattr(sys, "stdout", full)
        assert last_output(status) == ends_with
        monkeypatch.undo()


def test_output_that_is_written_changes_nothing() -> None:
    assert last_output(DONE) == DONE
    assert last_output(INTERRUPTED) == INTERRUPTED


def test_an_error_that_can_not_be_printed_is_no_status_of_python() -> None:
    code = "import sys; sys.argv = ['thinsim', 'nothing']; from thinsim.cli.main import main; main()"
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=full, check=False)
    assert done.returncode == FAILED
