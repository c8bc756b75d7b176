"""One mounted FUSE session: pyfuse3 on trio, with fallocate, lseek and statfs per inode added.

pyfuse3 keeps its session in module globals, so a process has one at a time; ``mounted`` refuses a second.

The order of an end, whatever causes it: unmount while still serving, as the kernel may have to write back
or wait for a request; then let the session loop end; then destroy the session, which closes /dev/fuse. If a
file is still held (a loop device, an open file), the mount is detached lazily instead and the holder gets
errors from then on: nothing may wait for a server that waits for it.
"""

import errno
import functools
import inspect
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import trio

from fuse_backing import mounts
from fuse_backing.errors import SessionError
from fuse_backing.pyfuse import native, pyfuse3
from fuse_backing.system_calls import become_io_flusher

log = logging.getLogger(__name__)

BUSY_PATIENCE = 1.0
"""Seconds for which an unmount is tried again when something (a passing stat) holds the mount."""

_ADDED = frozenset({"fallocate", "lseek", "statfs_of"})
_HANDLERS = _ADDED | {
    name for name, value in vars(pyfuse3.Operations).items() if inspect.iscoroutinefunction(value)
}


def _refuse(number: int) -> NoReturn:
    raise pyfuse3.FUSEError(number)


def _bounded(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let nothing but FUSEError out of a handler: pyfuse3 ends the session on anything else."""

    @functools.wraps(handler)
    async def bounded(*arguments: Any, **keywords: Any) -> Any:
        try:
            return await handler(*arguments, **keywords)
        except pyfuse3.FUSEError:
            raise
        except OSError as error:
            # ENOSYS would make the kernel stop asking for this operation, on every file.
            number = error.errno or errno.EIO
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP if number == errno.ENOSYS else number) from error
        except Exception as error:
            log.exception("%s failed; the caller gets EIO", handler.__qualname__)
            raise pyfuse3.FUSEError(errno.EIO) from error

    return bounded


def _silent(handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let nothing at all out of ``forget``, which answers no request."""

    @functools.wraps(handler)
    async def silent(*arguments: Any, **keywords: Any) -> None:
        try:
            await handler(*arguments, **keywords)
        except Exception:
            log.exception("%s failed", handler.__qualname__)

    return silent


class FileOperations(pyfuse3.Operations):
    """pyfuse3's Operations and three more, all asynchronous; derive a file system from this.

    The boundary is here: whatever a subclass's handler raises, pyfuse3 sees only FUSEError (an OSError keeps
    its errno, a bug is logged and becomes EIO), and from ``forget`` nothing. No default answers ENOSYS,
    since the kernel takes that for the whole mount and for good; but that is just right for extended
    attributes, which it would ask for before each write and each punch (fs/inode.c, file_remove_privs).
    """

    supports_dot_lookup = False

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        for name in _HANDLERS & vars(cls).keys():
            guard = _silent if name == "forget" else _bounded
            setattr(cls, name, guard(vars(cls)[name]))

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        """Do fallocate(2).

        The kernel lets only KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE through to FUSE: fs/fuse/file.c.
        """
        _refuse(errno.EOPNOTSUPP)

    async def lseek(self, inode: int, fh: int, offset: int, whence: int) -> int:
        """Return the offset found by SEEK_DATA or SEEK_HOLE; the kernel does the other kinds itself."""
        _refuse(errno.EOPNOTSUPP)

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return statvfs(3) data as seen from *inode*.

        A loop device takes its discard granularity from f_bsize: drivers/block/loop.c.
        """
        return await self.statfs(cast("pyfuse3.RequestContext", None))

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return statvfs(3) data for the mount; not asked if ``statfs_of`` is overridden."""
        _refuse(errno.EOPNOTSUPP)

    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """Allow: with default_permissions the kernel has checked already."""
        return True

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open any directory, with its inode as handle."""
        return inode

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""

    async def flush(self, fh: int) -> None:
        """Do nothing at each close of a file descriptor."""

    async def release(self, fh: int) -> None:
        """Do nothing at the last close."""


def _refusing(number: int) -> Callable[..., Awaitable[Any]]:
    async def refuse(self: FileOperations, *arguments: object) -> Any:
        _refuse(number)

    return refuse


_ATTRIBUTES = frozenset({"setxattr", "getxattr", "listxattr", "removexattr"})

# What a subclass leaves out is refused with an errno that the kernel does not remember; see the class for the
# exception. Asked for an attribute after ENOSYS, the kernel says EOPNOTSUPP by itself (fs/fuse/xattr.c).
for _name in _HANDLERS - vars(FileOperations).keys() - {"forget", "release", "releasedir", "flush"}:
    setattr(FileOperations, _name, _refusing(errno.ENOSYS if _name in _ATTRIBUTES else errno.EOPNOTSUPP))


class Session:
    """A mount that is being served."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        """Its real path."""
        self.answers = trio.Event()
        """Set once the mount answers, or cannot be made."""
        self.ended = trio.Event()
        """Set when nothing is served any more: unmounted by us, by someone else, or the loop failed."""
        self.detached = False
        """Whether the mount had to be detached lazily, since something still held it."""
        self.failure: Exception | None = None
        """What ended the session loop, if that was a failure."""
        self.mount_id: int | None = None

    async def unmount(self) -> None:
        """Unmount and wait until the session has ended. May be called again."""
        if self.mount_id is None:
            return
        with trio.CancelScope(shield=True):
            if not self.ended.is_set() and not await self._unmounted():
                self.detached = True
                log.warning(
                    "%s is still in use (a loop device, an open file); detached lazily, its users get errors",
                    self.mountpoint,
                )
                await trio.to_thread.run_sync(self._detach)
            if not self.detached:
                # The kernel ends the connection with the last mount of it, which can be a copy of ours in
                # another namespace: wait for it, but not for ever.
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
        if self._on_top():  # if not, it is gone already, or hidden below a mount that is not ours
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
    """Mount *operations* on *mountpoint* and serve it in the background until the block is left.

    Entered once the mount answers; left, also when cancelled, once it is unmounted. If someone else unmounts
    it, ``Session.ended`` is set and the block goes on. /proc/mounts shows *fsname* as the source and
    ``fuse.subtype`` as the type. Raises SessionError if it cannot be mounted, or if the session loop fails
    (the block is cancelled then).
    """
    global _in_use  # noqa: PLW0603  (pyfuse3 has its session in module globals)
    if _in_use:
        raise SessionError("this process has a FUSE session already, and pyfuse3 allows one at a time")
    if not Path("/dev/fuse").exists():
        raise SessionError("/dev/fuse is missing: load the fuse module, or give the container the device")
    session = Session(Path(os.path.realpath(mountpoint)))
    arguments = frozenset({*options, f"fsname={_escaped(fsname)}", f"subtype={_escaped(subtype)}"})
    failure: BaseException | None = None
    _in_use = True
    try:
        async with trio.open_nursery() as nursery:
            try:
                # Not nursery.start: cancelled, it would wait for the end of a task that ends at our word.
                nursery.start_soon(_serve, operations, arguments, session, nursery.cancel_scope)
                with trio.CancelScope(shield=True):
                    await session.answers.wait()
                if session.failure is None:
                    yield session
            except BaseException as error:  # raised again below, outside of the group
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
    """Mount, serve until the session loop ends, and destroy the session. Not cancelled from outside."""
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
                requests.start_soon(pyfuse3.main, name="FUSE session loop")
                # The first answer shows that the kernel's INIT has been dealt with.
                await trio.to_thread.run_sync(session.mountpoint.stat, abandon_on_cancel=True)
                session.answers.set()
        except Exception as error:
            session.failure = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            log.exception("the FUSE session of %s failed", session.mountpoint, exc_info=session.failure)
            everything.cancel()
        finally:
            # Closing /dev/fuse first: it ends the connection, so that nothing waits for an answer of ours.
            # The mount is ours to detach: libfuse would unmount whatever is at that path by now.
            pyfuse3.close(unmount=False)
            native.set_handlers()
            # There is a mount left if the loop failed, or if the connection was aborted from outside.
            await trio.to_thread.run_sync(session._detach)
            session.ended.set()
            session.answers.set()


def _init(operations: FileOperations, session: Session, options: frozenset[str]) -> None:
    # The table of operations is completed in fuse_session_new, and lseek is put in only if it has a handler.
    native.set_handlers(lseek=lambda request, *_: native.reply_err(request, errno.EAGAIN))
    completed = native.sessions()
    try:
        pyfuse3.init(operations, str(session.mountpoint), set(options))
    except RuntimeError as error:
        pyfuse3.close(unmount=False)
        raise SessionError(
            f"FUSE refused to mount on {session.mountpoint} ({error}); libfuse printed why"
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
