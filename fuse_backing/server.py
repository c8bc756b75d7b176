"""`serve` runs the server process in the foreground, from the checks to the clean unmount."""

import json
import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from fuse_backing.directory import check_apart, host_accounting, served_directory
from fuse_backing.event_file import EventFile
from fuse_backing.filesystem import BackingFileSystem
from fuse_backing.fuse_uring import FuseUring
from fuse_backing.injection import Injector
from fuse_backing.ledger import Ledger
from fuse_backing.mounts import SUBTYPE, check_mountpoint
from fuse_backing.session import mounted
from fuse_backing.shortcut import Passthrough, Shortcut
from fuse_backing.store_client import ServerInfo
from fuse_backing.store_server import store_server
from fuse_backing.system_calls import become_io_flusher

log = logging.getLogger(__name__)


async def serve(
    directory: Path,
    mountpoint: Path,
    control: Path,
    ready: Callable[[ServerInfo], None],
    *,
    passthrough: Passthrough = Passthrough.AUTO,
    events: Path | None = None,
    allow_estimate: bool = False,
    allow_other: bool = False,
    uring: FuseUring = FuseUring.OFF,
    cache: float = 0.0,
) -> None:
    """Serve *directory* on *mountpoint* until SIGTERM, SIGINT, or an unmount from outside.

    *ready* is called with the server's description when the mount and the control socket answer. With
    *events* every event is appended to that file. A host on which freed bytes can't be measured is refused,
    unless *allow_estimate* is true. With *allow_other* other users may use the mount as well. *uring* chooses
    the way of the requests. The kernel may use names and attributes for *cache* seconds without asking.
    Raises FuseBackingError (in an ExceptionGroup if a task raised it).
    """
    io_flusher = become_io_flusher()  # before any other thread exists
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # it would report that somebody wants a lease (``releases``)
    real = check_mountpoint(mountpoint)
    check_apart(directory, mountpoint)
    most_descriptors = _allow_descriptors()
    ledger = Ledger()
    with (
        served_directory(directory) as fd,
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
    ):
        accounting = host_accounting(fd, directory, allow_estimate=allow_estimate)
        event_file = None if events is None else EventFile.open(ledger, events)
        shortcut = Shortcut(ledger, passthrough, uring)
        injector = Injector(ledger, shortcut, event_file.drain if event_file is not None else lambda: True)
        files = BackingFileSystem(fd, accounting, ledger, shortcut, injector)
        files.names.set_times(round(cache * 1e9))
        info = ServerInfo(
            os.getpid(),
            os.path.realpath(directory),
            str(real),
            time.time(),
            io_flusher=io_flusher,
            host=accounting.kind,
            host_unit=accounting.unit,
            host_remark=accounting.remark,
            freed_is_measured=accounting.exact,
            overwrites_free=accounting.overwrites_free,
            allocates=accounting.sees_preallocation,
            file_handles=files.has_handles,
            most_descriptors=most_descriptors,
        )
        try:
            async with trio.open_nursery() as nursery:
                # The control socket comes first and ends last: a refusal comes before anything is mounted,
                # and a client can read the totals until the last punch is in them.
                store = store_server(ledger, info, shortcut, injector, files)
                await nursery.start(store.serve, control)
                nursery.start_soon(ledger.watch)
                if event_file is not None:
                    nursery.start_soon(event_file.run)
                async with mounted(
                    files,
                    real,
                    fsname=info.directory,
                    subtype=SUBTYPE,
                    channel=shortcut.channel(files.names),
                    allow_other=allow_other,
                ) as session:
                    shortcut.begin(fd, accounting, session.transport)
                    ready(info)
                    async with trio.open_nursery() as waiting:
                        waiting.start_soon(_cancel_at_signal, signals, waiting.cancel_scope)
                        await session.ended.wait()
                        waiting.cancel_scope.cancel()
                    injector.clear()  # no planned delay may delay the end
                nursery.cancel_scope.cancel()
        finally:
            files.close()
            if event_file is not None:
                event_file.close()


def announce(ready_fd: int, control: Path) -> None:
    """Write the line that announces that the server is ready, and close the descriptor."""
    with os.fdopen(ready_fd, "w") as pipe:
        pipe.write(json.dumps({"pid": os.getpid(), "control": str(control)}) + "\n")


async def _cancel_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


def _allow_descriptors() -> int:
    """Raise the limit of descriptors as far as possible, and return it."""
    # ``inodes`` may hold each file open that the kernel remembers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
