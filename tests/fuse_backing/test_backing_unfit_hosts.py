"""A store refuses unfit hosts with the reason, and prints a remark about special ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from fuse_backing import mounts
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, run_command
from tests.fuse_backing.hosts import PUNCH, MakeStore, on, served_by_server
from tests.host_file_systems import MIB, HostFileSystem
from tests.repository import REPOSITORY

pytestmark = pytest.mark.rig


@on("overlay on btrfs")
@served_by_server
def test_a_host_that_hides_what_it_frees_needs_allow_estimate(
    host: HostFileSystem, tmp_path: Path, make_store: MakeStore
) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    result = run_command("mount", host.directory, place, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {host.directory}: overlayfs hides how the file system below it (probably btrfs) frees "
        "extents; use a directory on that file system itself, or --allow-estimate\n"
    )
    assert mounts.mount_on(place) is None
    store = make_store("--allow-estimate", directory=host.directory)
    try:
        info = trio.run(StoreClient(store.control).ping)
        assert (info.host, info.freed_is_measured) == ("overlayfs", False)
        assert "freed bytes are estimated" in info.host_remark
        store.file("file").write_bytes(b"x" * 2 * MIB)
        with store.file("file").open("r+b") as file:
            assert host_fallocate(file.fileno(), PUNCH, 0, MIB) == 0
        assert store.totals().freed == MIB
        assert 'freed="estimated"' in run_command("metrics", "--control", store.control).stdout
        stats = run_command("stats", "--control", store.control).stdout
        assert "freed bytes are estimated" in stats
        as_json = run_command("stats", "--control", store.control, "--json").stdout
        assert json.loads(as_json)["freed_is_measured"] is False
    finally:
        store.tear_down()


@on("ext4 with blocks of 1 KiB", "ext4 without delayed allocation", "xfs")
@served_by_server
def test_a_host_with_fragmented_free_space_is_served_and_a_full_one_refused(
    host: HostFileSystem, tmp_path: Path, make_store: MakeStore
) -> None:
    block = os.statvfs(host.directory).f_frsize
    with (host.directory / "filler").open("wb") as filler:
        end, step = 0, 512 * MIB
        while step >= block:
            if host_fallocate(filler.fileno(), 0, end, step):
                step //= 2
            else:
                end += step
        (tmp_path / "full").mkdir()
        result = run_command("mount", host.directory, tmp_path / "full", check=False)
        assert result.returncode == 1
        assert result.stderr.startswith(f"Error: {host.directory}: ")
        why = "No space left on device; it needs room for a file of 1 MiB: free some\n"
        assert result.stderr.endswith(why)
        for offset in range(0, 32 * MIB, 2 * block):
            assert host_fallocate(filler.fileno(), PUNCH, offset, block) == 0
        os.fsync(filler.fileno())
    store = make_store(directory=host.directory)
    try:
        file = store.file("file")
        file.write_bytes(os.urandom(MIB))
        with file.open("r+b") as opened:
            os.fsync(opened.fileno())
            assert host_fallocate(opened.fileno(), PUNCH, 0, MIB // 2) == 0
        assert store.totals().freed == MIB // 2
    finally:
        store.tear_down()


@on("ext4")
def test_a_directory_that_refuses_even_root_is_refused_with_the_fix(
    host: HostFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "mnt").mkdir()
    subprocess.run(["chattr", "+i", host.directory], check=True, timeout=DEADLINE)
    result = run_command("mount", host.directory, tmp_path / "mnt", check=False)
    subprocess.run(["chattr", "-i", host.directory], check=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {host.directory}: cannot create a file there: Operation not permitted; the attribute i "
        "refuses even root (see it with lsattr -d): chattr -i\n"
    )


@on("btrfs")
@served_by_server
def test_a_store_on_a_store_on_btrfs_is_refused(fitting_store: Store, tmp_path: Path) -> None:
    place = tmp_path / "on-it"
    place.mkdir()
    result = run_command("mount", fitting_store.mountpoint, place, check=False)
    assert result.returncode == 1
    assert "fuse hides how the file system below it (probably btrfs) frees extents" in result.stderr
    assert mounts.mount_on(place) is None


@on("btrfs")
def test_btrfs_without_the_right_to_look_at_its_extents_is_refused(host: HostFileSystem) -> None:
    code = (
        "import os, sys; from pathlib import Path; from fuse_backing import directory\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "try: print(directory.host_accounting(fd, Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    drop = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", code, host.directory],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        timeout=DEADLINE,
    )
    assert done.stdout == (
        f"UnfitDirectoryError {host.directory}: btrfs frees whole extents, and reading a file's extents "
        "needs CAP_SYS_ADMIN; run as root, or use a directory on ext4, xfs or tmpfs, or --allow-estimate\n"
    )


@on("ext4", "btrfs", "ext4 with clusters of 64 KiB", "tmpfs with huge pages")
def test_mount_and_ping_show_the_hosts_accounting(host: HostFileSystem, tmp_path: Path) -> None:
    place, control = tmp_path / "mnt", tmp_path / "control"
    place.mkdir()
    printed = run_command("mount", host.directory, place, "--control", control).stdout.splitlines()
    try:
        info = trio.run(StoreClient(control).ping)
        words = {
            "ext4": "",
            "btrfs": "btrfs frees a data extent (up to 128 MiB) as a whole",
            "ext4 with clusters of 64 KiB": "ext4 allocates and frees clusters of 65536 bytes",
            "tmpfs with huge pages": "tmpfs allocates huge pages of 2097152 bytes",
        }[host.kind]
        assert info.freed_is_measured
        assert info.host_remark.startswith(words)
        assert bool(info.host_remark) == bool(words)
        assert printed[1:] == [f"{place}: {remark}" for remark in info.remarks()]
        assert [remark for remark in info.remarks() if remark.startswith(words)] or not words
        assert info.overwrites_free == (host.kind == "btrfs")
    finally:
        run_command("unmount", place, "--control", control)
