"""`LoopNodes` attaches a loop device to a mapped device's file, and links ``/dev/mapper/NAME`` to it.

Every call that touches a file or device below this process's own mount runs by ``on_own_device``: the
event loop must stay free to serve it.
"""

import errno
import os
import stat
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from thinsim.block import kernel_view, loop, loop_limits, loop_numbers
from thinsim.dm.daemon.freeze import freeze, thaw
from thinsim.dm.daemon.own_devices import on_own_device
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.names import MAPPER
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.machine.journal import Journal, TakenKind


class VolumeFiles(Protocol):
    """A `VolumeFiles` serves the mounted files that loop devices attach to."""

    def publish(self, name: str, device: MappedDevice) -> Path:
        """Publish *device* as a file and return its path."""

    def republish(self, name: str, new: str) -> Path:
        """Rename the file and return its new path."""

    def withdraw(self, name: str) -> None:
        """Remove the file's name; a program that has the file open keeps it."""

    def punches_discard(self, name: str, certain: bool) -> None:
        """Set whether each punch of the file is certainly a discard, and not a request for zeros."""

    def dropping_zeros(self, name: str, offset: int, length: int) -> AbstractContextManager[None]:
        """Drop one write of *length* zeros at *offset* while the block runs."""


@dataclass(frozen=True, slots=True)
class _Limits:
    granularity: int
    """The discard granularity in bytes; 0 if the device takes no discards."""
    logical_block: int
    takes_zeroes: bool

    @classmethod
    def of(cls, device: MappedDevice) -> "_Limits":
        """Return the limits of *device*, as far as a loop device can have them.

        One that refuses discards also refuses requests for zeros (drivers/block/loop.c, lo_fallocate).
        """
        granularity = device.granularity
        return cls(granularity, device.logical_block, device.writes_zeroes and granularity > 0)

    @property
    def takes_discards(self) -> bool:
        """Return whether the device takes discards."""
        return self.granularity > 0


@dataclass(slots=True)
class _Node:
    device: MappedDevice
    file: Path
    loop: loop.LoopDevice
    loop_entry: str
    link_entry: str | None = None
    """The journal's entry for the link, which is made when the device first resumes with a table."""
    wanted_number: bool = False
    """The loop device was asked for by number; it may not have existed before."""
    frozen_at: Path | None = None
    limits: _Limits | None = None
    """The device's limits that the loop device has taken over; None before the first table."""


class LoopNodes:
    """`LoopNodes` implements ``emulator.nodes.Nodes`` and records its loop devices in the run's journal."""

    def __init__(self, files: VolumeFiles, journal: Journal) -> None:
        self._files = files
        self._journal = journal
        self._nodes: dict[str, _Node] = {}
        self._attaching = trio.Lock()
        """Attach one loop device at a time: the kernel reports the same free number to every caller."""

    async def attach(self, name: str, device: MappedDevice, minor: int | None) -> tuple[int, int]:
        """Publish the file and attach a loop device to it, the one with *minor* if given."""
        _check_free(name)
        file = self._files.publish(name, device)
        loop_entry = self._journal.begin(TakenKind.LOOP, file=file)
        try:
            async with self._attaching:
                attached = await on_own_device(partial(loop.attach, file, number=minor, direct_io=True))
        except BaseException as error:
            self._files.withdraw(name)
            self._journal.end(loop_entry)
            if minor is not None and isinstance(error, KernelError):
                raise DeviceMapperError(errno.ENXIO, f"device number {minor} is taken") from error
            raise
        self._journal.amend(loop_entry, **asdict(attached))
        self._nodes[name] = _Node(device, file, attached, loop_entry, wanted_number=minor is not None)
        try:
            number = attached.path.stat().st_rdev
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.detach(name, deferred=True)
            raise
        return os.major(number), os.minor(number)

    async def refresh(self, name: str) -> None:
        """Update the loop device's size, discard granularity and read-only flag from the live table."""
        node = self._node(name)
        if node.link_entry is None:
            self._link(name, node)
        try:
            differ = await self._limits_differ(node)
            # The loop device can't be made to refuse requests while it refuses writes.
            await self._resize(node, read_only=node.device.read_only and not differ)
            if differ:
                await self._take_limits(name, node)
                await self._resize(node, read_only=node.device.read_only)
        except OSError as error:
            raise DeviceMapperError(error.errno or errno.EIO, f"cannot refresh the node of {name}") from error

    async def _resize(self, node: _Node, *, read_only: bool) -> None:
        await on_own_device(
            partial(
                loop.refresh,
                node.loop,
                node.file,
                read_only=read_only,
                optimal_io=node.device.optimal_io,
            )
        )

    async def _limits_differ(self, node: _Node) -> bool:
        """Return whether the loop device's limits are not those of the device.

        Older loop drivers clear no limit, so only a new table counts there.
        """
        wanted = _Limits.of(node.device)
        if node.limits != wanted or not loop_limits.kernel_clears_limits():
            return node.limits != wanted
        return await _takes(node) != (wanted.takes_discards, wanted.takes_zeroes)

    async def _take_limits(self, name: str, node: _Node) -> None:
        """Make the loop device take the kinds of requests that the device takes, and no others.

        While it is claimed it can be made to refuse requests, but not to take them again.
        """
        wanted = _Limits.of(node.device)
        if not await on_own_device(kernel_view.is_claimed, node.loop.path):
            self._files.punches_discard(name, False)
            await on_own_device(loop_limits.take_limits, node.loop, wanted.logical_block)
            node.limits = wanted
        request = loop_limits.last_page(node.device.size, wanted.logical_block)
        takes_discards, takes_zeroes = await _takes(node)
        if takes_zeroes and not wanted.takes_zeroes and request is not None:
            with self._files.dropping_zeros(name, *request):
                await on_own_device(loop_limits.stop_write_zeroes, node.loop, *request)
        if takes_discards and not wanted.takes_discards and request is not None:
            await on_own_device(loop_limits.stop_discards, node.loop, *request)
        self._files.punches_discard(name, not (await _takes(node))[1])

    async def rename(self, name: str, new: str) -> None:
        """Move the link; the loop device stays."""
        node = self._node(name)
        _check_free(new)
        before, node.link_entry = node.link_entry, None
        if before is not None:
            self._link(new, node)
        node.file = self._files.republish(name, new)
        self._nodes[new] = self._nodes.pop(name)
        _unlink(name, node)
        if before is not None:
            self._journal.end(before)

    async def detach(self, name: str, *, deferred: bool) -> bool:
        """Detach the loop device; the link goes with it."""
        node = self._nodes.get(name)
        if node is None:
            return True  # its deferred removal has just finished
        gone: bool = await on_own_device(lambda: loop.detach(node.loop, deferred=deferred))
        if gone:
            self._forget(name, node)
        return gone

    async def forget_if_gone(self, name: str) -> bool:
        """Forget *name* if its loop device is gone, and return whether it was.

        Call this after the last close of the file.
        """
        node = self._nodes.get(name)
        if node is None or await on_own_device(loop.is_attached, node.loop):
            return False
        return self._forget(name, node)

    async def is_open(self, name: str) -> bool:
        """Return whether the node is mounted or opened exclusively; plain opens are not visible here."""
        node = self._nodes.get(name)
        # On a thread: the check opens the device, and its close may write back through this very process.
        return node is not None and await on_own_device(kernel_view.is_claimed, node.loop.path)

    async def freeze(self, name: str) -> None:
        """Freeze the mounted file system, or flush the loop device's cache."""
        node = self._node(name)
        try:
            node.frozen_at = await on_own_device(freeze, node.loop.path)
        except OSError as error:
            raise DeviceMapperError(error.errno or errno.EIO, f"cannot freeze {name}") from error

    async def thaw(self, name: str) -> None:
        """Thaw the file system that :meth:`freeze` froze."""
        node = self._node(name)
        if node.frozen_at is not None:
            target, node.frozen_at = node.frozen_at, None
            try:
                await on_own_device(thaw, target)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):  # thawed or unmounted by hand meanwhile
                    raise DeviceMapperError(error.errno or errno.EIO, f"cannot thaw {name}") from error

    def _link(self, name: str, node: _Node) -> None:
        """Create /dev/mapper/NAME, unless libdevmapper has made a node with the same number there."""
        link = MAPPER / name
        node.link_entry = self._journal.begin(TakenKind.LINK, path=link, points_to=node.loop.path)
        if not _leads_to(link, node):
            MAPPER.mkdir(mode=0o755, exist_ok=True)
            link.symlink_to(node.loop.path)

    def _node(self, name: str) -> _Node:
        try:
            return self._nodes[name]
        except KeyError:
            raise DeviceMapperError(errno.ENXIO, f"device {name} not found") from None

    def _forget(self, name: str, node: _Node) -> bool:
        """Remove the traces of a loop device that is gone, once. A new node of that name is left alone."""
        if self._nodes.get(name) is not node:
            return False
        del self._nodes[name]
        _unlink(name, node)
        if node.link_entry is not None:
            self._journal.end(node.link_entry)
        self._journal.end(node.loop_entry)
        if node.wanted_number:
            loop_numbers.remove(node.loop.number)
        self._files.withdraw(name)
        return True


async def _takes(node: _Node) -> tuple[bool, bool]:
    """Return whether the loop device takes discards, and whether it takes requests for zeros."""
    return await trio.to_thread.run_sync(  # sysfs alone: it does not open the device
        lambda: (loop_limits.takes_discards(node.loop), loop_limits.takes_write_zeroes(node.loop))
    )


def _check_free(name: str) -> None:
    link = MAPPER / name
    if os.path.lexists(link):
        raise DeviceMapperError(errno.EBUSY, f"{link} already exists and belongs to something else")


def _leads_to(link: Path, node: _Node) -> bool:
    """Return whether *link* is a link to the node's loop device, or a block device with its number."""
    if link.is_symlink():
        return link.readlink() == node.loop.path
    try:
        status = link.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISBLK(status.st_mode) and status.st_rdev == node.loop.path.stat().st_rdev


def _unlink(name: str, node: _Node) -> None:
    link = MAPPER / name
    if _leads_to(link, node):
        link.unlink()
