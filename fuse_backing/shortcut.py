"""`Shortcut` has requests served without Python, by the kernel (passthrough) or by the channel's thread.

The kernel serves reads and writes of a file that was opened as passthrough straight from a backing file
(Linux 6.9, CAP_SYS_ADMIN); all opens of one inode must then name the same backing file (fs/fuse/iomode.c).
Without passthrough, the channel's thread serves data as well. Fallocate always comes to the server: the
channel measures and records it (``native/channel/channel.h``). The channel's names open the files.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.channel_options import ChannelOptions
from fuse_backing.directory import unnamed_file
from fuse_backing.errors import ControlError, SessionError
from fuse_backing.extension import native
from fuse_backing.fuse_uring import DEVICE, FuseUring, Transport
from fuse_backing.inode import Inode
from fuse_backing.latency import OperationLatency, latency_of, operation_name
from fuse_backing.ledger import Ledger

log = logging.getLogger(__name__)

LONGEST_PUNCH = 16 << 20
"""Longest punch, in bytes, that the channel serves.

Python does longer ones on a thread, so that no other request waits.
"""

_READ, _WRITE = 15, 16  # opcodes of include/uapi/linux/fuse.h


class Passthrough(StrEnum):
    """`Passthrough` chooses who serves data."""

    AUTO = "auto"
    """The kernel if it can, otherwise the server."""
    ON = "on"
    """The kernel, or the mount fails."""
    OFF = "off"
    """The server."""


class Shortcut:
    """A `Shortcut` chooses what the session's channel serves; without a channel it does nothing."""

    def __init__(self, ledger: Ledger, wanted: Passthrough, uring: FuseUring = FuseUring.OFF) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._uring = uring
        self._names: native.Names | None = None
        self.passthrough = False
        """True if the kernel serves the data of files opened from now on."""
        self.reason = ""
        """The reason why the kernel does not serve data."""
        self.transport = DEVICE
        """The way of the requests."""

    def channel(self, names: native.Names) -> ChannelOptions:
        """Return the options of the session's channel, which serves *names*."""
        self._names = names
        # One thread serves punches while another flushes a file, and a third one changes a name.
        return ChannelOptions(
            threads=3,
            account=self._ledger.account,
            names=names,
            passthrough=self._wanted is not Passthrough.OFF,
            uring=self._uring,
        )

    def begin(self, directory_fd: int, accounting: HostAccounting, transport: Transport) -> None:
        """Find out whether the kernel of the mounted session, with its *transport*, allows passthrough.

        The channel serves punches if the C code can measure as *accounting* does. Raises SessionError if
        passthrough is required and not possible.
        """
        self.transport = transport
        if native.has_channel():
            native.set_limit(LONGEST_PUNCH)
        self.passthrough, self.reason = self._probe(directory_fd)
        if self._names is not None:
            self._names.set_opening(self.passthrough, accounting.freed_unit if accounting.native else 0)
        if self._wanted is Passthrough.ON and not self.passthrough:
            raise SessionError(f"passthrough is not possible here: {self.reason}")
        log.info("the %s serves data%s", "kernel" if self.passthrough else "server", f" ({self.reason})")

    @contextmanager
    def changing(self, inode: Inode) -> Iterator[None]:
        """Hold off the channel's punches of *inode* while Python changes its allocation."""
        gate = inode.gate
        if gate == -1:
            yield
            return
        native.gate_enter(gate)
        try:
            yield
        finally:
            native.gate_leave(gate)

    def serve_in_python(self, *, everything: bool) -> None:
        """Send all requests through Python from now on, or undo that: planned faults strike in Python."""
        if native.has_channel():  # before the session, and after an unmount from outside, no channel exists
            native.set_limit(0 if everything else LONGEST_PUNCH)

    def counters(self) -> dict[str, int]:
        """Return the number of data requests that the kernel sent, and of requests served without Python."""
        return {
            "data_requests": native.requests(_READ) + native.requests(_WRITE),
            "served_natively": native.served(),
        }

    @property
    def measures_latencies(self) -> bool:
        """Return whether the mounted session has a channel, which measures latencies."""
        return native.has_channel()

    def latencies(self) -> tuple[dict[str, OperationLatency], dict[str, float]]:
        """Return the latencies of each operation since the mount, and the longest of each since the restart.

        Raises ControlError (ENOTCONN) while nothing is mounted, so that no channel measures them.
        """
        if not self.measures_latencies:
            raise ControlError("the mount measures no latencies any more: it was unmounted", errno.ENOTCONN)
        found, longest = {}, {}
        for kind, count, natively, total, most, most_since, buckets in native.latencies():
            name = operation_name(kind)
            found[name] = latency_of(count, natively, total, most, buckets)
            longest[name] = most_since / 1e9
        return found, longest

    def restart_longest(self) -> None:
        """Find the longest latency of each operation from now on."""
        native.restart_longest()

    def _probe(self, directory_fd: int) -> tuple[bool, str]:
        if self._wanted is Passthrough.OFF:
            return False, "switched off"
        if not native.has_passthrough():
            return False, "the kernel does not offer it; it came with Linux 6.9 (CONFIG_FUSE_PASSTHROUGH)"
        try:
            fd = unnamed_file(directory_fd)
        except OSError as error:
            return False, f"cannot create a probe file in the directory: {error.strerror}"
        try:
            native.backing_close(native.backing_open(fd))
        except OSError as error:
            return False, _refusal(error)
        finally:
            os.close(fd)
        return True, "passthrough"


def _refusal(error: OSError) -> str:
    match error.errno:
        case errno.EPERM:
            return "it needs CAP_SYS_ADMIN: run as root"
        case errno.ELOOP:
            return "the host's file system is stacked too deeply"
        case errno.EOPNOTSUPP:
            return "a file of the host's file system can't be a backing file"
    return error.strerror or str(error)
