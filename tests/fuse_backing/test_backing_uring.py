"""FUSE over io_uring holds many requests for Python, ends in every state, and can be left out."""

import errno
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyfuse3
import pytest
import trio

from fuse_backing import mounts
from fuse_backing.fuse_uring import DEVICE, IO_URING, SWITCH, FuseUring
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import DEADLINE, Store, missing_for_mounts, names_in
from tests.fuse_transports import missing_for, transport_chosen

missing = missing_for_mounts() or missing_for(IO_URING.name)
if missing is not None:
    pytest.skip(missing, allow_module_level=True)

from tests.fuse_backing.one_file import OneFile, mount  # noqa: E402

pytestmark = pytest.mark.rig

WRITES = 80
"""Writes at once: more than two queues have entries when they begin."""
SIZE = 512 << 10
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED)
"""The errnos of requests whose server has died."""
over_uring = pytest.mark.parametrize("data_served_by", ["server over io_uring"], indirect=True)


class HeldFile(OneFile):
    """A `HeldFile` answers no write until it may, and keeps the bytes that were written.

    Each number is the name of a file of its own: the kernel sends one direct write of a file at a time.
    """

    def __init__(self) -> None:
        self.may = trio.Event()
        self.written: dict[int, bytes] = {}

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        return await self.getattr(1000 + int(name), ctx)

    async def write(
        self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
    ) -> int:
        self.written[off] = bytes(buf)
        await self.may.wait()
        return len(buf)


class Writers:
    """`Writers` have a thread for each file of a `HeldFile`, and all write at once."""

    def __init__(self, mountpoint: Path, size: int) -> None:
        self._mountpoint = mountpoint
        self._size = size
        self.results: list[int] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITES)]
        for thread in self._threads:
            thread.start()

    def data(self, number: int) -> bytes:
        return bytes([number + 1]) * self._size

    def _write(self, number: int) -> None:
        try:
            fd = os.open(self._mountpoint / str(number), os.O_WRONLY)
            try:
                result = os.pwrite(fd, self.data(number), number * self._size)
            finally:
                os.close(fd)
        except OSError as error:
            result = -(error.errno or 0)
        with self._lock:
            self.results.append(result)

    async def ended(self) -> list[int]:
        for thread in self._threads:
            await trio.to_thread.run_sync(thread.join)
        return self.results


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while not condition():
            await trio.sleep(0.01)


@pytest.fixture(autouse=True)
def _over_uring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*transport_chosen(FuseUring.ENABLE))


@pytest.mark.parametrize("size", [4096, SIZE])
async def test_more_requests_wait_for_python_than_a_queue_has_entries_at_first(
    tmp_path: Path, size: int
) -> None:
    """The other requests of the mount are answered meanwhile, and each write has its own data."""
    file = HeldFile()
    async with mount(file, tmp_path):
        writers = Writers(tmp_path, size)
        await until(lambda: len(file.written) == WRITES)
        await trio.to_thread.run_sync((tmp_path / "0").stat)
        file.may.set()
        assert await writers.ended() == [size] * WRITES
    assert file.written == {number * size: writers.data(number) for number in range(WRITES)}


async def test_the_session_ends_while_requests_wait_for_python(tmp_path: Path) -> None:
    file = HeldFile()
    async with mount(file, tmp_path) as session:
        writers = Writers(tmp_path, 4096)
        await until(lambda: len(file.written) == WRITES)
    assert session.detached
    assert len(await writers.ended()) == WRITES
    assert all(result < 0 for result in writers.results)
    assert mounts.mount_on(tmp_path) is None


async def test_an_abort_ends_the_session_while_requests_wait_for_python(tmp_path: Path) -> None:
    mountpoint, connections = tmp_path / "mnt", tmp_path / "connections"
    mountpoint.mkdir()
    connections.mkdir()
    await trio.run_process(["mount", "-t", "fusectl", "fusectl", str(connections)])
    file = HeldFile()
    try:
        async with mount(file, mountpoint) as session:
            writers = Writers(mountpoint, 4096)
            await until(lambda: len(file.written) == WRITES)
            found = mounts.mount_on(mountpoint)
            assert found is not None
            (connections / found.device.partition(":")[2] / "abort").write_text("1")
            assert set(await writers.ended()) <= {-number for number in GONE}
            file.may.set()
            await session.ended.wait()
    finally:
        mounts.unmount(connections)
    assert mounts.mount_on(mountpoint) is None


async def test_sessions_that_follow_each_other_keep_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        return len(names_in(Path("/proc/self/fd"))), len(names_in(Path("/proc/self/task")))

    async with mount(OneFile(), tmp_path):
        await trio.to_thread.run_sync((tmp_path / "x").stat)
    before = held()
    for _ in range(5):
        async with mount(OneFile(), tmp_path):
            await trio.to_thread.run_sync((tmp_path / "x").stat)
    await until(lambda: held()[0] == before[0])
    # trio keeps the threads of its calls for a while, and may have had one more of them at once.
    await until(lambda: held()[1] <= before[1])


@over_uring
def test_a_killed_server_leaves_errors_and_a_mount_that_can_be_removed(store: Store) -> None:
    with suppress(OSError), store.file("x").open("wb", buffering=0) as file:  # the close fails as well
        file.write(bytes(SIZE))
        store.server.send_signal(signal.SIGKILL)
        store.server.wait()
        with pytest.raises(OSError, match=rf"\[Errno ({'|'.join(map(str, GONE))})\]"):
            file.write(bytes(SIZE))
    mounts.unmount(store.mountpoint)
    assert mounts.mount_on(store.mountpoint) is None


@over_uring
def test_the_server_has_the_ring_and_the_kernel_s_switch_is_as_before(
    make_store: Callable[..., Store],
) -> None:
    before = SWITCH.read_text()
    info = trio.run(StoreClient(make_store().control).ping)
    assert (info.transport, info.transport_reason) == (IO_URING.name, "")
    assert SWITCH.read_text() == before


@pytest.mark.parametrize("data_served_by", ["server"], indirect=True)
def test_a_store_that_is_not_offered_io_uring_works_and_gives_the_reason(
    make_store: Callable[..., Store],
) -> None:
    if SWITCH.read_text().strip() == "Y":
        pytest.skip(f"the kernel's switch is on (fix: echo N > {SWITCH})")
    store = make_store("--fuse-uring", "on")
    store.file("x").write_bytes(b"data")
    info = trio.run(StoreClient(store.control).ping)
    assert info.transport == DEVICE.name
    assert "switch" in info.transport_reason
    assert store.host("x").read_bytes() == b"data"
    assert "no FUSE over io_uring" in store.errors.read_text()
