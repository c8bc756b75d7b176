"""The commands, as a user runs them."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing import mounts, runtime
from tests.fuse_backing.backing_store import (
    COMMAND,
    DEADLINE,
    Store,
    host_fallocate,
    missing_for_mounts,
    names_in,
    run_command,
)
from tests.repository import REPOSITORY


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    missing = missing_for_mounts()
    if missing is not None:
        pytest.skip(missing)
    directory, mountpoint = tmp_path / "dir", tmp_path / "mnt"
    directory.mkdir()
    mountpoint.mkdir()
    yield directory, mountpoint
    if mounts.mount_on(mountpoint) is not None:
        run_command("unmount", mountpoint)
    assert mounts.mount_on(mountpoint) is None


def refused(*arguments: object, status: int = 1) -> str:
    """Return what a command that fails prints; it is no traceback."""
    result = run_command(*arguments, check=False)
    assert result.returncode == status, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if status == 1:
        assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.rig
@pytest.mark.alone
@pytest.mark.usefixtures("leave_nothing_in_runtime_directory")
def test_a_store_is_mounted_asked_and_unmounted(places: tuple[Path, Path]) -> None:
    directory, mountpoint = places
    mounted = run_command("mount", directory, mountpoint).stdout
    found = re.fullmatch(rf"{mountpoint}: served by process (\d+), control socket (.*)\n", mounted)
    assert found is not None
    assert Path(found[2]) == runtime.control_socket(mountpoint)
    (mountpoint / "a").write_bytes(b"x" * 8192)
    with (mountpoint / "a").open("r+b") as file:
        assert host_fallocate(file.fileno(), 3, 0, 4096) == 0
    totals = {
        "events": 1,
        "punched_bytes": 4096,
        "zeroed_bytes": 0,
        "allocated": 4096,
        "freed": 4096,
        "errors": 0,
        "faults": 0,
    }
    document = json.loads(run_command("stats", mountpoint, "--json").stdout)
    assert (document["totals"], document["files"]) == (totals, {"a": totals})
    table = run_command("stats", mountpoint).stdout.splitlines()
    assert [re.split("  +", row) for row in table] == [
        ["file", "events", "punched", "zeroed", "allocated", "freed", "errors", "faults"],
        ["a", "1", "4 KiB", "0 B", "4 KiB", "4 KiB", "0", "0"],
        ["all", "1", "4 KiB", "0 B", "4 KiB", "4 KiB", "0", "0"],
    ]
    [event] = map(json.loads, run_command("events", mountpoint, "--json").stdout.splitlines())
    assert (event["sequence"], event["file"], event["freed"]) == (1, "a", 4096)
    assert (
        "punch a offset 0 B length 4 KiB allocated 4 KiB freed 4 KiB"
        in run_command("events", mountpoint).stdout
    )
    assert run_command("events", mountpoint, "--since", 1).stdout == ""
    assert (
        run_command("unmount", mountpoint).stdout == f"{mountpoint}: unmounted, server {found[1]} has ended\n"
    )
    assert (directory / "a").stat().st_size == 8192
    assert f"{mountpoint}: no fuse-backing store is mounted there" in refused("stats", mountpoint)


@pytest.mark.rig
def test_events_are_followed_as_they_come(store: Store) -> None:
    store.file("a").write_bytes(b"x" * 8192)
    with subprocess.Popen(
        [*COMMAND, "events", "--follow", "--json", "--control", store.control],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as follower:
        assert follower.stdout is not None
        try:
            with store.file("a").open("r+b") as file:
                for offset in (0, 4096):
                    assert host_fallocate(file.fileno(), 3, offset, 4096) == 0
                    assert json.loads(follower.stdout.readline())["offset"] == offset
            follower.send_signal(signal.SIGINT)
            assert follower.wait(DEADLINE) == 130
        finally:
            follower.kill()


@pytest.mark.rig
def test_a_dead_servers_mount_is_explained_and_cleared(store: Store) -> None:
    store.server.kill()
    store.server.wait()
    advice = f"the server of this mount has died; run: fuse-backing unmount {store.mountpoint}"
    assert advice in refused("mount", store.directory, store.mountpoint)
    cleared = run_command("unmount", store.mountpoint, "--control", store.control).stdout
    assert cleared == f"{store.mountpoint}: its server had died; the stale mount has been removed\n"
    assert mounts.mount_on(store.mountpoint) is None
    assert not store.control.exists()
    store.start()
    assert names_in(store.mountpoint) == []


@pytest.mark.rig
def test_a_store_whose_socket_is_unknown_is_unmounted_all_the_same(store: Store) -> None:
    assert run_command("unmount", store.mountpoint).stdout == f"{store.mountpoint}: unmounted\n"
    assert store.server.wait(DEADLINE) == 0


@pytest.mark.rig
def test_a_busy_store_whose_socket_is_unknown_stays(store: Store) -> None:
    with store.file("a").open("wb"):
        assert "busy" in refused("unmount", store.mountpoint)
    assert store.server.poll() is None


@pytest.mark.rig
def test_one_directory_is_served_once_and_one_mountpoint_used_once(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert "another server already serves this directory" in refused("mount", store.directory, other)
    assert "is already mounted there" in refused("mount", other, store.mountpoint)
    assert names_in(store.directory) == []
    assert "another server answers on this socket" in refused(
        "mount", other, make(tmp_path / "m"), "--control", store.control
    )


@pytest.mark.rig
def test_directory_and_mountpoint_must_lie_apart(places: tuple[Path, Path]) -> None:
    directory, mountpoint = places
    assert "is the directory to serve itself" in refused("mount", directory, directory)
    assert "lies in the directory" in refused("mount", directory, make(directory / "in"))
    assert "would hide" in refused("mount", make(mountpoint / "in"), mountpoint)


@pytest.mark.rig
def test_what_is_missing_is_named(places: tuple[Path, Path]) -> None:
    directory, mountpoint = places
    assert f"{directory}/no: No such file or directory" in refused("mount", directory / "no", mountpoint)
    assert "create it first" in refused("mount", directory, mountpoint / "no")
    assert f"{mountpoint}: no fuse-backing store is mounted there" in refused("unmount", mountpoint)


@pytest.mark.rig
def test_a_host_that_cannot_punch_is_refused(places: tuple[Path, Path]) -> None:
    assert "cannot create a file" in refused("mount", "/proc", places[1])


@pytest.mark.rig
def test_a_mount_that_is_not_ours_is_left_alone(places: tuple[Path, Path]) -> None:
    assert "it stays mounted" in refused("unmount", "/proc")
    assert mounts.find_mount(Path("/proc")) is not None


def test_wrong_usage_has_its_own_status(tmp_path: Path) -> None:
    assert "Missing argument" in refused("mount", tmp_path, status=2)
    assert "No such command" in refused("dance", status=2)


def test_a_socket_path_that_is_too_long_is_explained(tmp_path: Path) -> None:
    assert "too long for a unix socket" in refused("stats", "--control", tmp_path / ("x" * 120))


def test_the_default_socket_is_short_whatever_the_mountpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")  # where it is short, as on every machine
    socket = runtime.control_socket(tmp_path / ("é x" * 60))
    assert len(os.fsencode(socket)) < 80
    assert socket == runtime.control_socket(tmp_path / "." / ("é x" * 60))
    assert socket != runtime.control_socket(tmp_path / ("é x" * 61))


def make(directory: Path) -> Path:
    directory.mkdir()
    return directory
