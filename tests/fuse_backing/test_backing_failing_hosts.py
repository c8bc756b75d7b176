"""A host that fails is an error to each caller, and has all that was synced when it works again."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.fuse_backing.backing_store import DEADLINE, Store, failure, host_fallocate, names_in
from tests.fuse_backing.hosts import PUNCH, MakeStore
from tests.host_file_systems import MIB, missing_for

pytestmark = pytest.mark.rig

BLOCK = 4096
FAILED = {errno.EIO, errno.EROFS}
"""Errors of a file system whose device fails: EIO, and EROFS once it has made itself read-only."""
served_either_way = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


class FailingHost:
    """A `FailingHost` is a file system on a loop device whose file is on a store with faults."""

    def __init__(self, base: Path, kind: str) -> None:
        self._kind = kind
        self.root = base / "failing"
        self._stack = ExitStack()
        for name in ("below", "below-mnt", "failing"):
            (base / name).mkdir()
        self._below = Store(base / "below", base / "below-mnt", base / "c", base / "below-errors", "off")
        self._device = ""

    def set_up(self) -> None:
        self._below.start()
        self._stack.callback(self._below.tear_down)
        with self._below.file("disk").open("wb") as file:
            file.truncate(640 * MIB)
        found = subprocess.run(
            ["losetup", "--find", "--show", self._below.file("disk")],
            check=True,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        self._device = found.stdout.strip()
        self._stack.callback(self._run, "losetup", "--detach", self._device)
        made = {
            "ext4": ("mkfs.ext4", "-q", "-F"),
            "xfs": ("mkfs.xfs", "-q", "-f"),
            "btrfs": ("mkfs.btrfs", "-q", "-f"),
        }
        self._run(*made[self._kind], self._device)
        self.mount()
        self._stack.callback(self.unmount)

    def mount(self) -> None:
        self._run("mount", self._device, str(self.root))

    def unmount(self) -> None:
        if mounts.mount_on(self.root) is not None:
            self._run("umount", str(self.root))

    def fail(self) -> None:
        """Let every write and flush of the device fail."""
        failing = {"action": "error", "errno": "EIO", "times": "always"}
        self._below.set_faults({"operation": "write", **failing}, {"operation": "fsync", **failing})

    def work_again(self) -> None:
        self._below.set_faults()

    def tear_down(self) -> None:
        if self._below.server.poll() is None:
            self.work_again()
        self._stack.close()

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextmanager
def failing_host(base: Path, kind: str) -> Iterator[FailingHost]:
    missing = missing_for(kind)
    if missing is not None:
        pytest.skip(missing)
    host = FailingHost(base, kind)
    try:
        host.set_up()
        yield host
    finally:
        host.tear_down()


def outcome(file: Path) -> bytes | int | None:
    """Return the content of a file, or the errno with which reading fails."""
    try:
        return file.read_bytes()
    except OSError as error:
        return error.errno


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@served_either_way
@pytest.mark.parametrize(
    "kind",
    ["ext4", pytest.param("xfs", marks=pytest.mark.long), pytest.param("btrfs", marks=pytest.mark.long)],
)
def test_a_host_whose_device_fails_is_an_error_and_keeps_what_was_synced(
    kind: str, tmp_path: Path, make_store: MakeStore
) -> None:
    with failing_host(tmp_path, kind) as host:
        (host.root / "served").mkdir()
        store = make_store(directory=host.root / "served")
        try:
            store.file("d").mkdir()
            durable = {f"d/{number}": os.urandom((1 + number % 5) * 16 * BLOCK) for number in range(20)}
            for name, content in durable.items():
                write_synced(store.file(name), content)
            with store.file("d/open").open("w+b", buffering=0) as opened:
                opened.write(b"x" * MIB)
                os.fsync(opened.fileno())
                host.fail()
                failed = failure(lambda: write_synced(store.file("d/lost"), b"y" * MIB))
                assert failed in FAILED
                # The host may do some changes in memory; it must not report any of them as durable.
                failed = failure(lambda: write_synced(store.file("d/lost-as-well"), b"y" * MIB))
                assert failed in FAILED
                host_fallocate(opened.fileno(), PUNCH, 0, MIB // 2)
                assert failure(lambda: os.fsync(opened.fileno())) in FAILED
            # XFS shuts down, and then refuses reads as well; ext4 and btrfs read on.
            for name, content in durable.items():
                found, expected = outcome(store.file(name)), outcome(store.host(name))
                assert found == expected
                assert found in (content, errno.EIO)
            assert store.server.poll() is None
            events = store.events()
            assert all(event.freed == 0 for event in events if event.errno)
        finally:
            store.tear_down()
        assert store.server.returncode == 0
        assert mounts.mount_on(store.mountpoint) is None
        # The host recovers from its own journal, and has every file that was synced.
        host.unmount()
        host.work_again()
        host.mount()
        again = make_store(directory=host.root / "served")
        try:
            for name, content in durable.items():
                assert again.file(name).read_bytes() == content
            write_synced(again.file("d/after"), b"z" * MIB)
            assert set(names_in(again.file("d"))) >= {Path(name).name for name in durable} | {"after"}
        finally:
            again.tear_down()
        assert again.server.returncode == 0
        assert again.errors.read_bytes() == b""
