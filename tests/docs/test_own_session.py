"""A document's shell that takes too long is killed with every process that it started."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.docs.document_shell import DocumentShell
from tests.docs.documented_commands import Shown
from tests.docs.own_session import run_in_session
from tests.docs.stage_kinds import PageStage

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
APART = "import os, time; os.setsid(); time.sleep(1000)"


def pids(directory: Path) -> list[int]:
    return [int(word) for word in (directory / "pids").read_text().split()]


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def run(text: str, directory: Path, seconds: float) -> int | None:
    with (directory / "said").open("w") as said:
        return run_in_session(["bash", "-c", text], directory, os.environ, said, seconds, grace=0.5)


def test_of_a_shell_that_is_ended_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    # The child has its own session, as thinsim's guest does.
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {APART!r}])\n"
        "print(child.pid, file=open('pids', 'a'), flush=True)\n"
        "time.sleep(1000)\n"
    )
    text = (
        f"{sys.executable} stubborn.py & echo $! >> pids\n"
        f"(sleep 1000 & echo $! >> pids)\n"  # its parent has ended
        f"echo $$ >> pids; {sys.executable} parent.py"
    )
    assert run(text, tmp_path, seconds=1.5) is None
    assert len(pids(tmp_path)) == 4
    assert [pid for pid in pids(tmp_path) if runs(pid)] == []


def test_what_a_shell_leaves_that_ends_by_itself_is_ended_too(tmp_path: Path) -> None:
    assert run("sleep 1000 & echo $! > pids; exit 3", tmp_path, seconds=60) == 3
    assert [pid for pid in pids(tmp_path) if runs(pid)] == []


def test_the_command_that_took_too_long_is_named(tmp_path: Path) -> None:
    page = Path("page.md")
    shell = DocumentShell(tmp_path, dict(os.environ))
    shown = [Shown(page, text, session=True) for text in ("true", "sleep 1000", "false")]
    with pytest.raises(AssertionError, match=r"did not end within 1 s, and is ended: page.md: sleep 1000"):
        shell.run(shown, PageStage(), seconds=1)
