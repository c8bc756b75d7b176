"""``thinsim doctor`` shows a table or JSON, and --clean removes the leftovers of killed runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from fuse_backing.libfuse import Libfuse
from fuse_backing.mounts import mount_on
from fuse_backing.runtime import control_socket
from thinsim.cli.commands import doctor as command
from thinsim.cli.main import commands
from thinsim.machine.findings import Finding
from thinsim.machine.journal import Journal, TakenKind, all_journals

pytestmark = pytest.mark.alone

LACK = Finding("loop devices", False, "/dev/loop-control is missing", "modprobe loop", ("emulated", "kernel"))
_FILES = ("kernel", "emulated", "process")
NOTHING_RUNS = Finding("hole punching", False, "not supported", "name another --dir", _FILES)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "probe_rigs", lambda _: [LACK])
    return tmp_path / "state"


def ask(*arguments: str) -> tuple[int, Result]:
    result = CliRunner().invoke(commands, ["doctor", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result


def abandoned(tmp_path: Path) -> Path:
    """Leave an abandoned run with a directory; return the directory."""
    journal = Journal.create()
    (tmp_path / "taken").mkdir()
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "taken")
    lines = journal.path.read_text().replace('"started": ', '"started": 1')
    journal.path.write_text(lines)
    return tmp_path / "taken"


def test_the_table_shows_each_lack_with_its_fix() -> None:
    status, result = ask()
    assert status == 0
    row = "no loop devices /dev/loop-control is missing modprobe loop emulated, kernel"
    assert row in " ".join(result.output.split())
    assert "rig: process (passed over kernel (loop devices: " in result.output
    assert "), emulated (loop devices: " in result.output


def test_it_names_the_libfuse_in_use_and_the_way_of_its_requests() -> None:
    lines = ask()[1].output.splitlines()
    (line,) = [line for line in lines if line.startswith("libfuse ")]
    assert re.fullmatch(
        r"libfuse 3\.\d+\.\d+ \(/\S+/libfuse3\.so\S*\); requests reach it by a pair of sockets at /dev/fd/N",
        line,
    )
    found = json.loads(ask("--json")[1].output)["libfuse"]
    assert found["failure"] == ""
    assert f"libfuse {found['version']} ({found['library']})" in line


def test_a_libfuse_that_takes_no_requests_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Libfuse("3.99.0", "/lib/libfuse3.so.99", "", "it does not take a pair of sockets: refused")
    monkeypatch.setattr(command, "libfuse_in_use", lambda: lacking)
    line = "libfuse 3.99.0 (/lib/libfuse3.so.99): it does not take a pair of sockets: refused"
    assert line in ask()[1].output.splitlines()


def test_it_exits_1_if_no_rig_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "probe_rigs", lambda _: [NOTHING_RUNS])
    status, result = ask()
    assert status == 1
    assert "rig: none" in result.output


def test_json_holds_findings_and_runs(tmp_path: Path) -> None:
    directory = abandoned(tmp_path)
    status, result = ask("--json")
    document = json.loads(result.output)
    assert status == 0
    assert document["rig"] == "process"
    assert document["findings"][0]["fix"] == "modprobe loop"
    (run,) = document["runs"]
    assert run["abandoned"] is True
    assert run["taken"] == [{"kind": "directory", "path": str(directory)}]
    assert directory.exists()


def test_the_leftovers_of_a_killed_run_are_shown_and_not_touched(tmp_path: Path) -> None:
    directory = abandoned(tmp_path)
    status, result = ask()
    assert status == 0
    assert "left by a killed run" in result.output
    assert "thinsim doctor --clean" in result.output
    assert directory.exists()


def test_clean_removes_the_leftovers_once(tmp_path: Path) -> None:
    directory = abandoned(tmp_path)
    status, result = ask("--clean")
    assert status == 0
    assert f"cleaned: removing {directory}" in result.output
    assert not directory.exists()
    assert all_journals() == []
    status, result = ask("--clean", "--json")
    assert status == 0
    assert json.loads(result.output)["cleaned"] == []


def test_clean_leaves_a_run_that_is_alive(tmp_path: Path) -> None:
    journal = Journal.create()
    (tmp_path / "taken").mkdir()
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "taken")
    status, result = ask("--clean")
    assert status == 0
    assert "running now: pid " in result.output
    assert ", 1 resource in use" in result.output
    assert (tmp_path / "taken").exists()
    assert journal.path.exists()


@pytest.mark.rig
def test_a_leftover_that_cannot_be_removed_is_a_problem_and_exits_1(tmp_path: Path) -> None:
    directory = abandoned(tmp_path)
    (directory / "foreign").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", directory / "foreign"], check=True)
    try:
        status, result = ask("--clean")
    finally:
        subprocess.run(["umount", directory / "foreign"], check=True)
    assert status == 1
    assert "could not clean: directory" in result.output
    assert (directory / "foreign").exists()
    assert ask("--clean")[0] == 0
    assert not directory.exists()


@pytest.mark.rig
def test_a_store_whose_server_was_killed_is_shown_and_unmounted(tmp_path: Path) -> None:
    """No run mounted this store. The users of its loop devices get errors until it is unmounted."""
    store, mountpoint = [sys.executable, "-m", "fuse_backing"], tmp_path / "mnt"
    for directory in (tmp_path / "files", mountpoint):
        directory.mkdir()
    mount = [*store, "mount", tmp_path / "files", mountpoint]
    printed = subprocess.run(mount, check=True, capture_output=True, text=True).stdout
    server = psutil.Process(int(printed.partition("served by process ")[2].partition(",")[0]))
    server.kill()
    try:
        server.wait(30)
        status, result = ask()
        assert (status, f"the backing store on {mountpoint} has died" in result.output) == (0, True)
        assert str(mountpoint) in json.loads(ask("--json")[1].output)["dead_stores"]
        status, result = ask("--clean")
        assert status == 0
        assert (
            f"cleaned: {mountpoint}: its server had died; the stale mount has been removed" in result.output
        )
        assert mount_on(mountpoint) is None
        assert not control_socket(mountpoint).exists()
        subprocess.run(mount, check=True, capture_output=True)
        assert f"the backing store on {mountpoint}" not in ask()[1].output
    finally:
        subprocess.run([*store, "unmount", mountpoint], check=True, capture_output=True)
