"""The state directory depends on user and environment; a process is not confused with its successor."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.state import ProcessIdentity, state_directory


def test_the_variable_chooses_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINSIM_STATE_DIR", "/some/where")
    assert state_directory() == Path("/some/where")


def test_root_keeps_state_in_var_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINSIM_STATE_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_directory() == Path("/var/lib/thinsim")


def test_other_users_keep_state_in_the_xdg_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINSIM_STATE_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_directory() == Path("/xdg/thinsim")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_directory() == Path("/home/somebody/.local/state/thinsim")


def test_the_message_for_a_user_without_home_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("THINSIM_STATE_DIR")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(EnvironmentLacksError, match="THINSIM_STATE_DIR"):
        state_directory()


def test_a_process_is_itself_until_it_ends() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        assert identity.is_running()
        assert identity.send(signal.SIGKILL)
        process.wait()
        assert not identity.is_running()
        assert not identity.send(signal.SIGKILL)


def test_a_later_process_with_the_pid_is_another() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        earlier = ProcessIdentity(identity.pid, identity.started - 1)
        assert not earlier.is_running()
        assert not earlier.send(signal.SIGKILL)
        assert process.poll() is None
        process.kill()


def test_a_zombie_does_not_run() -> None:
    with subprocess.Popen(["true"]) as process:
        deadline = time.monotonic() + 10
        while ") Z " not in Path(f"/proc/{process.pid}/stat").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert ProcessIdentity.of(process.pid) is None


def test_a_process_whose_main_thread_is_dead_runs_until_the_others_are() -> None:
    exit_thread = {"x86_64": 60, "aarch64": 93}.get(os.uname().machine)  # SYS_exit
    if exit_thread is None:
        pytest.skip(f"the number of exit(2) on {os.uname().machine} is not known here")
    script = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        f"ctypes.CDLL(None).syscall({exit_thread}, 0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        deadline = time.monotonic() + 10
        while not identity.is_dying():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert identity.is_running()
        assert identity.send(signal.SIGKILL)
        process.wait(10)
        assert not identity.is_running()
        assert not identity.is_dying()


def test_a_command_name_with_parentheses_and_blanks_is_read(tmp_path: Path) -> None:
    command = tmp_path / "a) Z (b"
    command.symlink_to("/bin/sleep")
    with subprocess.Popen([command, "60"]) as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        assert identity.is_running()
        process.kill()


def test_no_process_has_no_identity() -> None:
    assert ProcessIdentity.of(4194304) is None
