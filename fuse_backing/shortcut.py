"""`Shortcut` has requests served without Python, by the kernel (passthrough) or by the channel's thread.

The kernel serves reads and writes of a file that was opened as passthrough straight from a backing file
(Linux 6.9, CAP_SYS_ADMIN); all opens of one inode must then name the same backing file (fs/fuse/iomode.c).
Without passthrough, the channel's thread serves data as well. Fallocate always comes to the server: the
channel measures and records it (``native/channel/channel.h``). This module announces each open file to the
channel.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.channel_options import ChannelOptions
from fuse_backing.descriptor_calls import path_of
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


@dataclass(slots=True)
class _Known:
    """`_Known` has the numbers under which the channel knows one inode."""

    gate: int
    backing: int = 0
    index: int = -1
    """The number of the file's path in the ledger, while the file is open."""
    handles: set[int] = field(default_factory=set)


class Shortcut:
    """A `Shortcut` announces open files to the session's channel; without a channel it does nothing."""

    def __init__(self, ledger: Ledger, wanted: Passthrough, uring: FuseUring = FuseUring.OFF) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._uring = uring
        self._known: dict[Inode, _Known] = {}
        self._free_gates: list[int] = []
        self._active = False
        self.passthrough = False
        """True if the kernel serves the data of files opened from now on."""
        self.reason = ""
        """The reason why the kernel does not serve data."""
        self.transport = DEVICE
        """The way of the requests."""

    def channel(self) -> ChannelOptions:
        """Return the options of the session's channel."""
        # One thread serves punches while the other flushes a file.
        return ChannelOptions(
            threads=2,
            account=self._ledger.account,
            passthrough=self._wanted is not Passthrough.OFF,
            uring=self._uring,
        )

    def begin(self, directory_fd: int, accounting: HostAccounting, transport: Transport) -> None:
        """Find out whether the kernel of the mounted session, with its *transport*, allows passthrough.

        The channel serves punches if the C code can measure as *accounting* does. Raises SessionError if
        passthrough is required and not possible.
        """
        self._active = native.has_channel()
        self.transport = transport
        self._unit = accounting.freed_unit if accounting.native else 0
        if self._active:
            native.set_limit(LONGEST_PUNCH)
        self.passthrough, self.reason = self._probe(directory_fd)
        if self._wanted is Passthrough.ON and not self.passthrough:
            raise SessionError(f"passthrough is not possible here: {self.reason}")
        log.info("the %s serves data%s", "kernel" if self.passthrough else "server", f" ({self.reason})")

    def opened(self, inode: Inode, handle: int) -> None:
        """Announce a file that was opened; *handle* is the host's descriptor.

        Call this before the open is answered.
        """
        if not self._active:
            return
        known = self._known.get(inode)
        if known is None:
            gate = self._free_gates.pop() if self._free_gates else native.gate_new()
            known = self._known[inode] = _Known(gate)
        if not known.handles:
            known.index = self._ledger.begin_use(inode.path)
            if self.passthrough:
                known.backing = _register(inode)
        known.handles.add(handle)
        self._announce(known, handle)

    def closed(self, inode: Inode, handle: int) -> None:
        """Withdraw a file that is about to be closed; wait for a punch that is running."""
        known = self._known.get(inode)
        if known is None:
            return
        native.forget(handle)
        known.handles.discard(handle)
        if known.handles:
            return
        self._ledger.end_use(known.index)
        if known.backing:
            native.backing_close(known.backing)
            known.backing = 0

    def renamed(self, inode: Inode) -> None:
        """Record later punches under the inode's new path."""
        known = self._known.get(inode)
        if known is None or not known.handles:
            return
        before, known.index = known.index, self._ledger.begin_use(inode.path)
        if known.index != before:
            for handle in known.handles:
                self._announce(known, handle)
        self._ledger.end_use(before)

    def directory_moved(self) -> None:
        """Record later punches under the new paths of all open files."""
        for inode in [inode for inode, known in self._known.items() if known.handles]:
            self.renamed(inode)

    def forgotten(self, inode: Inode) -> None:
        """Remove an inode that the kernel has forgotten."""
        known = self._known.pop(inode, None)
        if known is not None:
            self._free_gates.append(known.gate)

    @contextmanager
    def changing(self, inode: Inode) -> Iterator[None]:
        """Hold off the channel's punches of *inode* while Python changes its allocation."""
        known = self._known.get(inode)
        if known is None:
            yield
            return
        native.gate_enter(known.gate)
        try:
            yield
        finally:
            native.gate_leave(known.gate)

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

    def _announce(self, known: _Known, handle: int) -> None:
        native.announce(handle, known.gate, known.index, self._unit, known.backing)

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


def _register(inode: Inode) -> int:
    """Register the inode's file, whose descriptor is pinned, as a backing file; return its id.

    Return 0 if the kernel refuses: the server then serves the data.
    """
    for flags in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            fd = os.open(path_of(inode.fd), flags)
            try:
                return native.backing_open(fd)
            finally:
                os.close(fd)
    log.warning("no passthrough for %s: the kernel refuses its backing file", inode.path)
    return 0


def _refusal(error: OSError) -> str:
    match error.errno:
        case errno.EPERM:
            return "it needs CAP_SYS_ADMIN: run as root"
        case errno.ELOOP:
            return "the host's file system is stacked too deeply"
        case errno.EOPNOTSUPP:
            return "a file of the host's file system can't be a backing file"
    return error.strerror or str(error)
