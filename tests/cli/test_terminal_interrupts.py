"""A real terminal interrupts a run, by Ctrl-C or because the terminal ends."""

import os
from pathlib import Path

import pytest

from tests.machine.interrupted_run import InterruptedRun, small_image
from thinsim.scenario.container_lifecycle import LifecyclePhase

pytestmark = pytest.mark.rig

RUNS = f": {LifecyclePhase.RUN}: "
"""Only the live line has this form: the table at the end of a run names each phase without it."""


@pytest.fixture
def run(tmp_path: Path) -> InterruptedRun:
    return InterruptedRun(tmp_path, small_image(tmp_path / "image"), container_mb=64)


def read_until(terminal: int, text: str) -> str:
    """Return the output of the terminal up to *text*, or all of it if the run ends first."""
    shown = b""
    while text.encode() not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        shown += piece
    return shown.decode(errors="replace")


def test_ctrl_c_ends_the_run_with_a_message(run: InterruptedRun) -> None:
    terminal = run.start_at_terminal()
    try:
        assert RUNS in read_until(terminal, RUNS)
        os.write(terminal, b"\x03")
        shown = read_until(terminal, "\0")
    finally:
        os.close(terminal)
    assert run.end() == 130
    assert "Interrupted; cleaning up." in shown
    assert "thinsim: interrupted" in shown
    assert "Traceback" not in shown
    assert run.left() == []


def test_a_terminal_that_hangs_up_leaves_nothing(run: InterruptedRun) -> None:
    (run.directory / "stderr").write_text("")
    terminal = run.start_at_terminal()
    assert RUNS in read_until(terminal, RUNS)
    os.close(terminal)
    assert run.end() in (1, 130)
    assert run.left() == []
