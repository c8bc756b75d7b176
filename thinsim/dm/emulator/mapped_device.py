"""A `MappedDevice` has two tables, and sends its I/O through the live one (dm.c)."""

import errno
from collections.abc import Awaitable, Callable

import trio

from thinsim.dm.emulator.gate import Gate
from thinsim.dm.emulator.pool.held_writes import WaitStoppedError
from thinsim.dm.emulator.pool.plane import DeviceBypass, NoDeviceBypass
from thinsim.dm.emulator.table import MappedTable
from thinsim.dm.emulator.targets.interface import Ended, Target
from thinsim.dm.interface import DeviceInfo
from thinsim.errors import DeviceMapperError


class MappedDevice:
    """A `MappedDevice` has a live and an inactive table. I/O is in bytes.

    A DeviceMapperError has the errno that the kernel's bio would end with.
    """

    def __init__(self, name: str, uuid: str, *, read_only: bool = False) -> None:
        self.name = name
        self.uuid = uuid
        self.number = (0, 0)
        self.live: MappedTable | None = None
        self.inactive: MappedTable | None = None
        self.has_type = False
        """The device has had a table (dm.c, md->type)."""
        self.read_only = read_only
        self.suspended = False
        self.frozen = False
        self.deferred_remove = False
        self.users = 0
        """The number of targets of other devices that use this one."""
        self.lock = trio.Lock()  # one verb at a time on a device
        self.bypass: DeviceBypass = NoDeviceBypass()
        """The bypass lets requests through to the live table, without Python."""
        self.gate = Gate(_BypassOf(self))
        self.events = 0
        """The number of core events: renamed, removed (dm-ioctl.c, dm_hash_rename, __hash_remove)."""
        self._event_waiters = trio.lowlevel.ParkingLot()
        self.when_unused: Callable[[MappedDevice], None] = lambda device: None
        """This is called when the last target that used the device is gone."""
        self._dead = False

    @property
    def size(self) -> int:
        """Return the bytes of the live table; 0 without one."""
        return self.live.size if self.live is not None else 0

    @property
    def optimal_io(self) -> int:
        """Return the optimal request size in bytes; 0 for no preference."""
        return self.live.optimal_io if self.live is not None else 0

    @property
    def granularity(self) -> int:
        """Return the discard granularity in bytes; 0 if the device takes no discards."""
        return self.live.granularity if self.live is not None else 0

    @property
    def writes_zeroes(self) -> bool:
        """Return whether the device takes write-zeroes requests."""
        return self.live is not None and self.live.writes_zeroes

    @property
    def logical_block(self) -> int:
        """Return the size of the smallest request in bytes; 512 without a table."""
        return self.live.logical_block if self.live is not None else 512

    @property
    def allocated(self) -> int:
        """Return the bytes that are allocated for the device."""
        return sum(target.allocated for target in self.live.targets) if self.live is not None else 0

    @property
    def event_nr(self) -> int:
        """Return the number of events so far, of the core and of the targets (dm.c, event_callback)."""
        return self.events + sum(target.events for target in (self.live.targets if self.live else ()))

    def info(self, *, is_open: bool) -> DeviceInfo:
        """Return the `DeviceInfo`. *is_open*: a program has the device open, besides its ``users``."""
        return DeviceInfo(
            name=self.name,
            major=self.number[0],
            minor=self.number[1],
            open_count=self.users + is_open,
            suspended=self.suspended,
            live_table=self.live is not None,
            inactive_table=self.inactive is not None,
            event_nr=self.event_nr,
            deferred_remove=self.deferred_remove,
            read_only=self.read_only,
            target_count=len(self.live.targets) if self.live is not None else 0,
            uuid=self.uuid,
        )

    def tell(self, events: int = 0) -> None:
        """Count *events* of the core, and wake the tasks that wait for an event."""
        self.events += events
        self._event_waiters.unpark_all()

    async def wait_event(self, event_nr: int) -> int:
        """Return the event number once it differs from *event_nr* or the device is gone (dm_wait_event)."""
        while self.event_nr == event_nr and not self._dead:
            await self._event_waiters.park()
        return self.event_nr

    async def read(self, offset: int, length: int) -> bytes:
        """Return up to *length* bytes at *offset*; less at the end of the device."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        async with self.gate.passing():
            pieces = [
                await target.read(within, size)
                for target, within, _, size in self._table().pieces(offset, length)
            ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def write(self, offset: int, data: bytes | memoryview, ended: Ended | None = None) -> None:
        """Write all of *data*; ENOSPC past the end of the device, EPERM if it is read-only.

        *ended* is called as :class:`Target` describes it.
        """
        if self.read_only:
            raise DeviceMapperError(errno.EPERM, f"{self.name} is read-only")
        if offset + len(data) > self.size:
            raise DeviceMapperError(errno.ENOSPC, f"write past the end of {self.name}")

        async def write() -> None:
            # Each target gets its piece, even if another one fails (dm.c, dm_split_and_process_bio).
            failed: DeviceMapperError | None = None
            for target, within, place, size in self._table().pieces(offset, len(data)):
                try:
                    if size < len(data):
                        await target.write(within, data[place : place + size])
                    elif ended is None:
                        await target.write(within, data)
                    else:
                        await target.write_and_end(within, data, ended)
                except DeviceMapperError as error:
                    failed = failed or error
            if failed is not None:
                raise failed

        await self._pass(write)

    async def discard_whole(self, step: int | None = None) -> None:
        """Discard the whole device, as blkdiscard(8) does: at once, or *step* bytes at a time."""
        for start in range(0, self.size, step or self.size):
            await self.discard(start, min(step or self.size, self.size - start))

    async def discard(self, offset: int, length: int) -> None:
        """Free as much of the range as the targets can; EOPNOTSUPP if one takes no discards."""
        length = max(0, min(length, self.size - offset))
        async with self.gate.passing():
            table = self._table()
            if length and not table.granularity:
                raise DeviceMapperError(errno.EOPNOTSUPP, f"{self.name} does not support discards")
            for target, within, _, size in table.pieces(offset, length):
                await target.discard(within, size)

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and free as much of it as possible; EPERM if read-only."""
        await self._zeroing(offset, length, lambda target, start, size: target.punch(start, size))

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros as a write-zeroes request does; EOPNOTSUPP if a target takes no such request."""
        await self._zeroing(offset, length, lambda target, start, size: target.zero(start, size))

    async def flush(self) -> None:
        """Return once earlier writes are durable."""

        async def flush() -> None:
            for target in self._table().targets:
                await target.flush()

        await self._pass(flush)

    async def awake(self) -> None:
        """Return once no suspended pool of its tables suspends the device with it (dm_internal_suspend)."""
        for table in (self.live, self.inactive):
            for target in table.targets if table is not None else ():
                await target.awake()

    async def hold(self, freeze: Callable[[], Awaitable[None]] | None, *, noflush: bool) -> None:
        """Suspend: presuspend, *freeze* the mounted file system, hold I/O, postsuspend (dm.c, __dm_suspend).

        With *noflush*, requests that wait for space begin again after the resume; otherwise they are waited
        for.
        """
        targets = self.live.targets if self.live is not None else ()
        try:
            for target in targets:
                await target.prepare_suspend(noflush=noflush)
            if freeze is not None:
                await freeze()
                self.frozen = True
            await self.gate.close()
        except BaseException:
            with trio.CancelScope(shield=True):
                for target in targets:
                    await target.undo_suspend()
            raise
        self.suspended = True
        for target in targets:
            await target.suspended()

    async def swap(self) -> MappedTable | None:
        """Make the inactive table live, while suspended; return the old one, which the caller closes later.

        EINVAL if the devices below are too small for the new table, which is dropped then.
        """
        if self.inactive is not None:
            try:
                await self.inactive.check_limits()
            except DeviceMapperError:
                dropped, self.inactive = self.inactive, None
                await dropped.close()
                raise
        self._aim_at_nothing()
        old, self.live, self.inactive = self.live, self.inactive, None
        if self.live is not None:
            self.read_only = self.live.read_only
        return old

    async def let_go(self) -> None:
        """Resume: preresume, then let I/O through (dm.c, __dm_resume)."""
        targets = self.live.targets if self.live is not None else ()
        for target in targets:
            await target.prepare_resume()
        for target in targets:
            await target.resume()
        if self.live is not None:
            self.live.aim(self.bypass)
        self.gate.open()
        self.suspended = False

    async def kill(self) -> None:
        """End the removed device: I/O gets EIO from now on, waiting tasks wake, both tables are closed."""
        self._dead = True
        self.tell(events=1)
        self.bypass.hold()
        await self.bypass.idle()
        self._aim_at_nothing()
        self.gate.open()
        for table in (self.live, self.inactive):
            if table is not None:
                await table.close()

    def release(self) -> None:
        """End the use by a target of another device."""
        self.users -= 1
        if not self.users:
            self.when_unused(self)

    async def _pass(self, request: Callable[[], Awaitable[None]]) -> None:
        """Carry *request* out. If a suspend interrupts it, begin it again after the resume."""
        while True:
            async with self.gate.passing():
                try:
                    return await request()
                except WaitStoppedError:
                    pass

    async def _zeroing(
        self, offset: int, length: int, act: Callable[[Target, int, int], Awaitable[None]]
    ) -> None:
        if self.read_only:
            raise DeviceMapperError(errno.EPERM, f"{self.name} is read-only")
        if offset + length > self.size:
            raise DeviceMapperError(errno.ENOSPC, f"a request past the end of {self.name}")

        async def request() -> None:
            for target, within, _, size in self._table().pieces(offset, length):
                await act(target, within, size)

        await self._pass(request)

    def _aim_at_nothing(self) -> None:
        self.bypass.aim(None, None, read_only=False)

    def _table(self) -> MappedTable:
        if self._dead:
            raise DeviceMapperError(errno.EIO, f"{self.name} was removed")
        if self.live is None:
            raise DeviceMapperError(errno.EIO, f"{self.name} has no table")
        return self.live


class _BypassOf:
    """A `_BypassOf` a device is its bypass of the moment: its node comes after the device."""

    def __init__(self, device: MappedDevice) -> None:
        self._device = device

    def hold(self) -> None:
        self._device.bypass.hold()

    async def idle(self) -> None:
        await self._device.bypass.idle()

    def release(self) -> None:
        self._device.bypass.release()
