"""A session in the test's process survives every failure of a handler, and ends cleanly."""

import contextlib
import errno
import gc
import os
import queue
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pyfuse3
import pytest
import trio

from fuse_backing import mounts
from fuse_backing.errors import SessionError
from tests.fuse_backing.backing_store import DEADLINE, host_fallocate, missing_for_mounts

missing = missing_for_mounts()
if missing is not None:
    pytest.skip(missing, allow_module_level=True)

from fuse_backing import data_requests  # noqa: E402
from fuse_backing.channel_options import ChannelOptions  # noqa: E402
from fuse_backing.extension import native  # noqa: E402
from fuse_backing.fuse_uring import DEVICE  # noqa: E402
from tests.fuse_backing.one_file import FILE, OneFile, mount  # noqa: E402

pytestmark = [pytest.mark.rig, pytest.mark.usefixtures("fuse_transport")]

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    return await trio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)


def fallocate(path: Path, length: int) -> int:
    fd = os.open(path / "x", os.O_RDWR)
    try:
        return host_fallocate(fd, 3, 0, length)
    finally:
        with contextlib.suppress(OSError):  # the flush fails if the session has ended meanwhile
            os.close(fd)


async def test_the_source_may_hold_any_character(tmp_path: Path) -> None:
    async with mount(OneFile(), tmp_path):
        found = mounts.mount_on(tmp_path)
        assert found is not None
        assert (found.fstype, found.source) == ("fuse.fuse_backing_test", "a,b\\c é")
    assert mounts.mount_on(tmp_path) is None


async def test_fallocate_gets_its_answer_whatever_the_handler_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mount(OneFile(), tmp_path):
        answers = [await in_thread(fallocate, tmp_path, length) for length in (4096, 1, 2, 3, 4096)]
    assert answers == [0, errno.ENOSPC, errno.EIO, errno.EDQUOT, 0]
    assert "a bug in fallocate" in caplog.text


async def test_a_seek_for_data_is_answered_by_the_handler(tmp_path: Path) -> None:
    def seek() -> int:
        fd = os.open(tmp_path / "x", os.O_RDONLY)
        try:
            return os.lseek(fd, 5, os.SEEK_DATA)
        finally:
            os.close(fd)

    async with mount(OneFile(), tmp_path):
        assert await in_thread(seek) == 5 + os.SEEK_DATA * 1000


async def test_statfs_knows_which_file_it_is_asked_about(tmp_path: Path) -> None:
    async with mount(OneFile(), tmp_path):
        assert (await in_thread(os.statvfs, tmp_path / "x")).f_bsize == 65536
        assert (await in_thread(os.statvfs, tmp_path)).f_bsize == 4096


async def test_a_bug_in_a_handler_is_an_error_of_the_request_and_no_end_of_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def misuse() -> list[int]:
        numbers = []
        fd = os.open(tmp_path / "x", os.O_RDWR)
        for call in (lambda: os.write(fd, b"x"), lambda: os.fsync(fd), lambda: os.mkdir(tmp_path / "d")):  # noqa: PTH102
            with pytest.raises(OSError, match=r"\[Errno") as raised:
                call()
            numbers.append(raised.value.errno or 0)
        os.close(fd)
        return numbers

    async with mount(OneFile(), tmp_path):
        assert await in_thread(misuse) == [errno.EIO, errno.EOPNOTSUPP, errno.EEXIST]
    assert "a bug in write" in caplog.text


async def test_nothing_comes_out_of_forget(caplog: pytest.LogCaptureFixture) -> None:
    await OneFile().forget([(FILE, 1)])
    assert "a bug in forget" in caplog.text


async def test_a_failure_inside_leaves_as_it_is_and_unmounts(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with mount(OneFile(), tmp_path):
            raise KeyError("mine")
    assert mounts.mount_on(tmp_path) is None


async def test_a_cancelled_session_unmounts(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with mount(OneFile(), tmp_path):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert mounts.mount_on(tmp_path) is None


async def test_a_session_cancelled_before_it_began_leaves_nothing(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with mount(OneFile(), tmp_path):
            await trio.lowlevel.checkpoint()
    assert mounts.mount_on(tmp_path) is None


async def test_a_second_session_in_the_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with mount(OneFile(), tmp_path / "a"):
        with pytest.raises(SessionError, match="one at a time"):
            async with mount(OneFile(), tmp_path / "b"):
                pass
    async with mount(OneFile(), tmp_path / "b"):
        pass


async def test_a_mount_that_fuse_refuses_is_an_error_and_the_next_one_works(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="refused to mount"):
        async with mount(OneFile(), tmp_path / "missing"):
            pass
    async with mount(OneFile(), tmp_path):
        pass


async def test_a_session_notices_that_it_was_unmounted_by_others(tmp_path: Path) -> None:
    async with mount(OneFile(), tmp_path) as session:
        await in_thread(mounts.unmount, tmp_path)
        await session.ended.wait()
    assert session.failure is None
    assert not session.detached


async def test_an_aborted_connection_ends_the_session_and_leaves_no_stale_mount(tmp_path: Path) -> None:
    mountpoint, connections = tmp_path / "mnt", tmp_path / "connections"
    mountpoint.mkdir()
    connections.mkdir()
    await trio.run_process(["mount", "-t", "fusectl", "fusectl", str(connections)])
    try:
        async with mount(OneFile(), mountpoint) as session:
            found = mounts.mount_on(mountpoint)
            assert found is not None
            (connections / found.device.partition(":")[2] / "abort").write_text("1")
            await session.ended.wait()
    finally:
        mounts.unmount(connections)
    assert mounts.mount_on(mountpoint) is None


async def test_another_mount_on_top_stays(tmp_path: Path) -> None:
    async with mount(OneFile(), tmp_path):
        await trio.run_process(["mount", "-t", "tmpfs", "on-top", str(tmp_path)])
    found = mounts.mount_on(tmp_path)
    assert found is not None
    assert found.source == "on-top"
    mounts.unmount(tmp_path)
    # The lower mount has lost its server; with nothing on top of it, it can be unmounted.
    if mounts.mount_on(tmp_path) is not None:
        mounts.unmount(tmp_path, lazy=True)


@pytest.fixture
def answer_fallocate(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Have fallocate answered by a callable instead of the operations."""

    def replace(answer: Callable[..., None]) -> None:
        async def answered(operations: object, request: native.FuseRequest, *arguments: int) -> None:
            answer(request, *arguments)

        monkeypatch.setitem(data_requests.ANSWERS, data_requests.FALLOCATE, answered)

    return replace


AnswerFallocate = Callable[[Callable[..., object]], None]


async def test_a_request_is_answered_once(tmp_path: Path, answer_fallocate: AnswerFallocate) -> None:
    seen: list[native.FuseRequest] = []

    def answer_twice(request: native.FuseRequest, *_: int) -> None:
        seen.append(request)
        with pytest.raises(ValueError, match="not an error number"):
            native.reply_err(request, 1000)
        assert not request.answered
        assert native.reply_err(request, errno.EDOM)
        assert request.answered
        with pytest.raises(RuntimeError, match="already answered"):
            native.reply_err(request, 0)

    answer_fallocate(answer_twice)
    async with mount(OneFile(), tmp_path):
        assert await in_thread(fallocate, tmp_path, 4096) == errno.EDOM
    assert len(seen) == 1


async def test_a_request_that_is_dropped_gets_an_error(
    tmp_path: Path, answer_fallocate: AnswerFallocate
) -> None:
    answer_fallocate(lambda request, *_: None)
    async with mount(OneFile(), tmp_path):
        assert await in_thread(fallocate, tmp_path, 4096) == errno.EIO


async def test_a_failure_to_answer_ends_the_session_and_answers_all_requests(
    tmp_path: Path, answer_fallocate: AnswerFallocate, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: native.FuseRequest, *_: int) -> None:
        raise LookupError("a bug in an answer")

    answer_fallocate(fail)
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def session() -> None:
        async with mount(OneFile(), tmp_path):
            await in_thread(lambda: answers.put(fallocate(tmp_path, 4096)))
            await trio.sleep_forever()

    with pytest.raises(SessionError, match="a bug in an answer"):
        await session()
    assert answers.get(timeout=DEADLINE) == errno.EIO
    assert mounts.mount_on(tmp_path) is None
    assert "a bug in an answer" in caplog.text


async def test_data_comes_and_goes_through_python_without_a_limit_of_a_page(tmp_path: Path) -> None:
    written: dict[int, bytes] = {}

    class Kept(OneFile):
        async def write(
            self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
        ) -> int:
            written[off] = bytes(buf)
            return len(buf)

        async def read(self, fh: int, off: int, size: int) -> bytes:
            return bytes([off // 4096 % 251]) * size

        async def fsync(self, fh: int, datasync: bool) -> None:
            assert datasync

    def use() -> bytes:
        fd = os.open(tmp_path / "x", os.O_RDWR)
        try:
            assert os.pwrite(fd, b"w" * 300_000, 8192) == 300_000
            os.fdatasync(fd)
            return os.pread(fd, 100_000, 4096)
        finally:
            os.close(fd)

    async with mount(Kept(), tmp_path):
        assert await in_thread(use) == b"\x01" * 100_000
    assert b"".join(data for _, data in sorted(written.items())) == b"w" * 300_000
    assert min(written) == 8192


@pytest.mark.parametrize("fails", [False, True])
async def test_a_write_has_its_answer_when_it_ends_on_any_thread(tmp_path: Path, fails: bool) -> None:
    may_return = trio.Event()

    class Early(OneFile):
        async def write(
            self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
        ) -> int:
            assert ended is not None
            await trio.to_thread.run_sync(ended)
            await may_return.wait()
            assert not ended()  # once is enough
            if fails:
                raise OSError(errno.EIO, "too late for an error")
            return len(buf)

    def write() -> int:
        fd = os.open(tmp_path / "x", os.O_WRONLY)
        try:
            return os.pwrite(fd, b"w" * 5000, 0)
        finally:
            os.close(fd)

    async with mount(Early(), tmp_path):
        assert await in_thread(write) == 5000
        may_return.set()


async def test_requests_begin_in_the_order_in_which_the_kernel_sent_them(tmp_path: Path) -> None:
    if shutil.which("fio") is None:
        pytest.skip("needs fio (fix: apt-get install fio)")
    begun: list[int] = []

    class Sized(OneFile):
        async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
            entry = await super().getattr(inode, ctx)
            entry.st_size = 16 << 20
            return entry

        async def write(
            self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
        ) -> int:
            begun.append(off)
            await trio.sleep(0.001)
            return len(buf)

    job = ("--name=x", "--rw=write", "--bs=64k", "--size=16m", "--direct=1", "--ioengine=libaio")
    deep = ("--iodepth=16", "--iodepth_batch=16", "--overwrite=1", "--fallocate=none")
    # Where several threads take the requests, they keep this order for a plane, since thin devices need it. A
    # thread that is held up for longer than the channel's patience loses its place.
    async with mount(Sized(), tmp_path, ChannelOptions(table_bytes=1 << 20)) as session:
        await trio.run_process(["fio", f"--filename={tmp_path / 'x'}", *job, *deep], capture_stdout=True)
    assert len(begun) == 256
    lost = sum(later < earlier for earlier, later in pairwise(begun))
    assert lost <= (0 if session.transport is DEVICE else 3)


async def test_a_request_kept_beyond_its_session_is_harmless(
    tmp_path: Path, answer_fallocate: AnswerFallocate
) -> None:
    kept: list[native.FuseRequest] = []
    arrived = trio.Event()

    def keep(request: native.FuseRequest, *_: int) -> None:
        kept.append(request)
        arrived.set()

    answer_fallocate(keep)
    async with trio.open_nursery() as nursery, mount(OneFile(), tmp_path):
        nursery.start_soon(in_thread, fallocate, tmp_path, 4096)
        await arrived.wait()
    [request] = kept
    assert request.answered
    with pytest.raises(RuntimeError, match="already answered"):
        native.reply_err(request, 0)
    del request, kept[:]
    gc.collect()


def test_only_requests_are_answered() -> None:
    with pytest.raises(TypeError, match="must be a FuseRequest"):
        native.reply_err(None, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="only a FuseRequest of a write"):
        native.reply_ended(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot create"):
        native.FuseRequest()
