"""`mounted` runs one FUSE session: pyfuse3 on trio, with fallocate, lseek and statfs per inode added.

pyfuse3 keeps its session in module globals, so a process has one at a time; ``mounted`` refuses a second.

A session always ends in this order. First it unmounts while it still serves, since the kernel may have to
write back or wait for a request. Then the session loop ends. Then the session is destroyed, which closes
/dev/fuse. If a file is still in use (a loop device, an open file), the mount is detached lazily instead, and
its user gets errors from then on: nothing may wait for a server that waits for it.
"""

import errno
import functools
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fuse_backing import mounts
from fuse_backing.errors import SessionError
from fuse_backing.operations import FileOperations
from fuse_backing.pyfuse import native, pyfuse3
from fuse_backing.system_calls import become_io_flusher

log = logging.getLogger(__name__)

_MOST_TASKS = 1 << 16
BUSY_PATIENCE = 1.0
"""Seconds for which an unmount is tried again while the mount is busy (a short stat, for example)."""


class Session:
    """A `Session` is a mount that is being served."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        """The real path of the mountpoint."""
        self.answers = trio.Event()
        """Set when the mount answers, or when mounting has failed."""
        self.ended = trio.Event()
        """Set when serving has ended: the session or someone else unmounted, or the loop failed."""
        self.detached = False
        """True if the mount was detached lazily, since it was still in use."""
        self.failure: Exception | None = None
        """The failure that ended the session loop, if there was one."""
        self.mount_id: int | None = None

    async def unmount(self) -> None:
        """Unmount and wait until the session has ended. Further calls do nothing."""
        if self.mount_id is None:
            return
        with trio.CancelScope(shield=True):
            if not self.ended.is_set() and not await self._unmounted():
                self.detached = True
                log.warning(
                    "%s is still in use (a loop device, an open file): detached lazily; its users get errors",
                    self.mountpoint,
                )
                await trio.to_thread.run_sync(self._detach)
            if not self.detached:
                # The kernel ends the connection with its last mount, which can be a copy of this one in
                # another namespace: wait for that, but only for a while.
                with trio.move_on_after(BUSY_PATIENCE):
                    await self.ended.wait()
            if not self.ended.is_set():
                pyfuse3.terminate()
            await self.ended.wait()

    async def _unmounted(self) -> bool:
        patience = trio.current_time() + BUSY_PATIENCE
        while True:
            try:
                await trio.to_thread.run_sync(self._umount)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    log.error("unmounting %s: %s", self.mountpoint, error.strerror)
                    return False
            else:
                return True
            if trio.current_time() > patience:
                return False
            await trio.sleep(0.05)

    def _umount(self, lazy: bool = False) -> None:
        if self._on_top():  # if not, this mount does not exist any more, or another mount hides it
            mounts.unmount(self.mountpoint, lazy=lazy)

    def _detach(self) -> None:
        try:
            self._umount(lazy=True)
        except OSError as error:
            log.error("detaching %s: %s", self.mountpoint, error.strerror)

    def _on_top(self) -> bool:
        mount = mounts.mount_on(self.mountpoint)
        return mount is not None and mount.mount_id == self.mount_id


_in_use = False


@asynccontextmanager
async def mounted(
    operations: FileOperations,
    mountpoint: Path,
    *,
    fsname: str,
    subtype: str,
    options: frozenset[str] = pyfuse3.default_options,
) -> AsyncIterator[Session]:
    """Mount *operations* on *mountpoint*, and serve them in the background until the block ends.

    The block begins when the mount answers. At its end, even when cancelled, it waits until the mount is
    unmounted. If someone else unmounts it, ``Session.ended`` is set and the block continues. /proc/mounts
    shows *fsname* as the source and ``fuse.subtype`` as the type. Raises SessionError if mounting fails, or
    if the session loop fails (which cancels the block).
    """
    global _in_use  # noqa: PLW0603  (pyfuse3 has its session in module globals)
    if _in_use:
        raise SessionError("this process already has a FUSE session, and pyfuse3 allows one at a time")
    if not Path("/dev/fuse").exists():
        raise SessionError("/dev/fuse is missing: load the fuse module, or give the container the device")
    session = Session(Path(os.path.realpath(mountpoint)))
    arguments = frozenset({*options, f"fsname={_escaped(fsname)}", f"subtype={_escaped(subtype)}"})
    failure: BaseException | None = None
    _in_use = True
    try:
        async with trio.open_nursery() as nursery:
            try:
                # Not nursery.start: on cancellation it would wait for a task that ends only with the unmount
                # below.
                nursery.start_soon(_serve, operations, arguments, session, nursery.cancel_scope)
                with trio.CancelScope(shield=True):
                    await session.answers.wait()
                if session.failure is None:
                    yield session
            except BaseException as error:  # raised again below, outside the nursery
                failure = error
            await session.unmount()
    finally:
        _in_use = False
    if isinstance(session.failure, SessionError):
        raise session.failure
    if session.failure is not None:
        raise SessionError(
            f"the FUSE session of {session.mountpoint} failed: {session.failure}"
        ) from session.failure
    if failure is not None:
        raise failure


def _escaped(value: str) -> str:
    # Options are parsed by fuse_opt, where a comma separates; pyfuse3 encodes them as ASCII.
    plain = value.encode("ascii", "replace").decode()
    return plain.replace("\\", "\\\\").replace(",", "\\,")


async def _serve(
    operations: FileOperations,
    options: frozenset[str],
    session: Session,
    everything: trio.CancelScope,
) -> None:
    """Mount, serve until the session loop ends, and destroy the session; ignore cancellation from outside."""
    with trio.CancelScope(shield=True):
        become_io_flusher()
        try:
            _init(operations, session, options)
        except SessionError as error:
            session.failure = error
            session.ended.set()
            session.answers.set()
            return
        try:
            async with trio.open_nursery() as requests:
                native.set_handlers(
                    fallocate=functools.partial(_begin, requests, _answer_fallocate, operations),
                    lseek=functools.partial(_begin, requests, _answer_lseek, operations),
                    statfs=functools.partial(_begin, requests, _answer_statfs, operations),
                )
                # One task per request in progress: requests may wait for long, and hold up no others.
                requests.start_soon(pyfuse3.main, 1, _MOST_TASKS, name="FUSE session loop")
                # The first answer shows that the kernel's INIT is done.
                await trio.to_thread.run_sync(session.mountpoint.stat, abandon_on_cancel=True)
                session.answers.set()
        except Exception as error:
            session.failure = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            log.exception("the FUSE session of %s failed", session.mountpoint, exc_info=session.failure)
            everything.cancel()
        finally:
            # Close /dev/fuse first: it ends the connection, so that nothing waits for this process any more.
            # Detach the mount here: libfuse would unmount any mount that is at that path by now.
            pyfuse3.close(unmount=False)
            native.set_handlers()
            # The mount still exists if the loop failed, or if the connection was aborted from outside.
            await trio.to_thread.run_sync(session._detach)
            session.ended.set()
            session.answers.set()


def _init(operations: FileOperations, session: Session, options: frozenset[str]) -> None:
    # fuse_session_new completes the table of operations, and adds lseek only if it has a handler.
    native.set_handlers(lseek=lambda request, *_: native.reply_err(request, errno.EAGAIN))
    completed = native.sessions()
    try:
        pyfuse3.init(operations, str(session.mountpoint), set(options))
    except RuntimeError as error:
        pyfuse3.close(unmount=False)
        raise SessionError(
            f"FUSE refused to mount on {session.mountpoint} ({error}); libfuse printed the reason"
        ) from error
    mount = mounts.mount_on(session.mountpoint)
    session.mount_id = mount.mount_id if mount is not None else -1
    if native.sessions() == completed:
        session._detach()
        pyfuse3.close(unmount=False)
        raise SessionError(
            "pyfuse3 was bound to libfuse before the extension was loaded, so there would be no fallocate: "
            "import fuse_backing.session before anything that imports pyfuse3"
        )


def _begin(
    requests: trio.Nursery,
    answer: Callable[..., Awaitable[None]],
    operations: FileOperations,
    request: native.FuseRequest,
    *arguments: int,
) -> None:
    requests.start_soon(answer, operations, request, *arguments)


async def _answer_fallocate(operations: FileOperations, request: native.FuseRequest, *arguments: int) -> None:
    number = 0
    try:
        await operations.fallocate(*arguments)
    except pyfuse3.FUSEError as error:
        number = error.errno
    native.reply_err(request, number)


async def _answer_lseek(operations: FileOperations, request: native.FuseRequest, *arguments: int) -> None:
    try:
        offset = await operations.lseek(*arguments)
    except pyfuse3.FUSEError as error:
        native.reply_err(request, error.errno)
    else:
        native.reply_lseek(request, offset)


async def _answer_statfs(operations: FileOperations, request: native.FuseRequest, inode: int) -> None:
    try:
        stats = await operations.statfs_of(inode)
    except pyfuse3.FUSEError as error:
        native.reply_err(request, error.errno)
        return
    native.reply_statfs(
        request,
        stats.f_bsize,
        stats.f_frsize,
        stats.f_blocks,
        stats.f_bfree,
        stats.f_bavail,
        stats.f_files,
        stats.f_ffree,
        stats.f_favail,
        stats.f_namemax,
    )
