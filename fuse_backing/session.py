"""`mounted` runs one FUSE session: the channel reads the kernel's requests, pyfuse3 on trio serves names.

The channel (``native/channel/channel.h``) owns ``/dev/fuse``. pyfuse3's libfuse has one end of a socket pair
for its device. pyfuse3 keeps its session in module globals, so a process has one at a time; ``mounted``
refuses a second.

A session always ends in this order. First it unmounts while it still serves, since the kernel may have to
write back or wait for a request. Then the session loop ends. Then the session is destroyed, which closes
/dev/fuse. If a file is still in use (a loop device, an open file), the mount is detached lazily instead, and
its user gets errors from then on: nothing may wait for a server that waits for it.
"""

import errno
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pyfuse3
import trio

from fuse_backing import mounts
from fuse_backing.channel_options import ChannelOptions
from fuse_backing.data_requests import serve_data_requests
from fuse_backing.errors import SessionError
from fuse_backing.extension import native
from fuse_backing.fuse_device import mount_fuse
from fuse_backing.fuse_switch import turned_on
from fuse_backing.fuse_uring import DEVICE, FuseUring, transport_of
from fuse_backing.operations import FileOperations
from fuse_backing.system_calls import become_io_flusher

log = logging.getLogger(__name__)

_MOST_TASKS = 1 << 16
_STACK_DEPTH = 2
"""A backing file may itself be on a stacked file system, such as an overlay."""
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
        self.transport = DEVICE
        """The way of the requests, once the mount answers."""
        self.has_names = False
        """True while pyfuse3 has a libfuse session: only then can its loop be ended."""

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
            if self.has_names:
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
    channel: ChannelOptions | None = None,
    allow_other: bool = False,
) -> AsyncIterator[Session]:
    """Mount *operations* on *mountpoint*, and serve them in the background until the block ends.

    The block begins when the mount answers. At its end, even when cancelled, it waits until the mount is
    unmounted. If someone else unmounts it, ``Session.ended`` is set and the block continues. /proc/mounts
    shows *fsname* as the source and ``fuse.subtype`` as the type. With *allow_other* all users may use the
    mount. Raises SessionError if mounting fails, or if the session loop fails (which cancels the block).
    """
    global _in_use  # noqa: PLW0603  (pyfuse3 has its session in module globals)
    if _in_use:
        raise SessionError("this process already has a FUSE session, and pyfuse3 allows one at a time")
    if not Path("/dev/fuse").exists():
        raise SessionError("/dev/fuse is missing: load the fuse module, or give the container the device")
    session = Session(Path(os.path.realpath(mountpoint)))
    failure: BaseException | None = None
    _in_use = True
    try:
        async with trio.open_nursery() as nursery:
            try:
                # Not nursery.start: on cancellation it would wait for a task that ends only with the unmount
                # below.
                options = channel or ChannelOptions()
                mount = partial(
                    mount_fuse, session.mountpoint, fsname=fsname, subtype=subtype, allow_other=allow_other
                )
                begin = partial(_begin, session, mount, options)
                nursery.start_soon(_serve, operations, begin, session, options.uring, nursery.cancel_scope)
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


async def _serve(
    operations: FileOperations,
    begin: Callable[[], int],
    session: Session,
    uring: FuseUring,
    everything: trio.CancelScope,
) -> None:
    """Mount, serve until the session loop ends, and destroy the session; ignore cancellation from outside."""
    with trio.CancelScope(shield=True):
        become_io_flusher()
        async with AsyncExitStack() as switched:
            if uring is FuseUring.ENABLE:
                await switched.enter_async_context(turned_on())
            await _serve_mount(operations, begin, session, switched, everything)


async def _serve_mount(
    operations: FileOperations,
    begin: Callable[[], int],
    session: Session,
    switched: AsyncExitStack,
    everything: trio.CancelScope,
) -> None:
    """Mount, serve until the session loop ends, and destroy the session; close *switched* once it answers."""
    try:
        device = begin()
    except SessionError as error:
        session.failure = error
        session.ended.set()
        session.answers.set()
        return
    try:
        pyfuse3.init(operations, f"/dev/fd/{device}", set())
        session.has_names = True
        async with trio.open_nursery() as loops:
            loops.start_soon(_serve_names, loops.cancel_scope, name="FUSE session loop")
            loops.start_soon(_serve_data, operations)
            # The first answer shows that the kernel's INIT is done.
            await trio.to_thread.run_sync(session.mountpoint.stat, abandon_on_cancel=True)
            await switched.aclose()
            session.transport = transport_of(native.fuse_uring_error())
            if session.transport.reason:
                log.warning("no FUSE over io_uring: %s", session.transport.reason)
            session.answers.set()
    except Exception as error:
        session.failure = _first(error)
        log.exception("the FUSE session of %s failed", session.mountpoint, exc_info=session.failure)
        everything.cancel()
    finally:
        # Close /dev/fuse first: it ends the connection, so that nothing waits for this process any more.
        native.close_channel()
        if session.has_names:
            session.has_names = False
            pyfuse3.close(unmount=False)
        else:
            os.close(device)
        # The mount still exists if the loop failed, or if the connection was aborted from outside.
        await trio.to_thread.run_sync(session._detach)
        session.ended.set()
        session.answers.set()


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _serve_names(both: trio.CancelScope) -> None:
    # One task per request in progress: requests may wait for long, and hold up no others.
    await pyfuse3.main(1, _MOST_TASKS)
    both.cancel()


async def _serve_data(operations: FileOperations) -> None:
    await serve_data_requests(operations)
    pyfuse3.terminate()


def _begin(session: Session, mount: Callable[[], int], channel: ChannelOptions) -> int:
    """Mount, open the channel, and return libfuse's device. Raises SessionError."""
    device = mount()
    mounted_on = mounts.mount_on(session.mountpoint)
    session.mount_id = mounted_on.mount_id if mounted_on is not None else -1
    try:
        return native.open_channel(
            device,
            channel.threads,
            channel.account,
            channel.names,
            channel.passthrough,
            _STACK_DEPTH,
            channel.table_bytes,
            channel.uring is not FuseUring.OFF,
        )
    except OSError as error:
        session._detach()
        raise SessionError(
            f"cannot serve {session.mountpoint}: too little memory, descriptors or threads"
        ) from error
    finally:
        os.close(device)
