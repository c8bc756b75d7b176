"""A `NativePlane` has threads in C that serve thin devices (``fuse_backing/native/plane/plane.h``).

They go to the file under the pool's data device. That is coherent while the emulated device-mapper alone uses
the loop device and reads and writes it without the page cache, as ``LinuxBlockDevice`` does. A device without
such a file they read and write itself, with io_uring.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from fuse_backing.channel_options import ChannelOptions
from fuse_backing.extension import native
from fuse_backing.fuse_uring import DEVICE, IO_URING
from thinsim.block.interface import BlockDevice
from thinsim.block.linux import LinuxBlockDevice
from thinsim.block.loop_file import FileBelow, holes_stay_free, open_loop_file
from thinsim.dm.emulator.pool.plane import NoPoolPlane, PoolPlane
from thinsim.dm.plane_traffic import PlaneTraffic
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import ThinsimError
from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import PoolMode
from thinsim.thin.pool import Pool

log = logging.getLogger(__name__)

VARIABLE = "THINSIM_PLANE"
FILE = "the file under the data device"
RING = "io_uring on the data device"
THREADS_ALONE = "plain reads and writes on the data device"
THROUGH_URING = "; its requests come through io_uring"
"""The end of a backend's name if the session has FUSE over io_uring."""
THREADS = 4
TABLE_BYTES = 64 << 20
"""The tables of all devices take at most this many bytes: 16 million mapped blocks."""

_READS, _WRITES, _FLUSHES = 1, 2, 4
_TRANSFERS, _MAPS, _TAKES = range(3)
_WINDOW = 256
"""Virtual blocks that are looked up at once: two or three nodes of the mapping tree."""


@dataclass(frozen=True, slots=True)
class PlaneBackend:
    """A `PlaneBackend` is an open file or device where the bytes of a pool's data device are."""

    name: str
    fd: int
    is_file: bool
    access: int
    """The value of ``enum plane_access`` in plane.h."""


class NativePlane:
    """A `NativePlane` is the plane of this process's only FUSE session."""

    def __init__(self) -> None:
        self._idle = trio.lowlevel.ParkingLot()
        self._waiting = 0
        self._pools: list[NativePoolPlane] = []
        self._closed = PlaneTraffic()
        self.transport = DEVICE
        """The way of the session's requests."""

    @staticmethod
    def channel() -> ChannelOptions | None:
        """Return the options of a session with the plane; None if ``THINSIM_PLANE=off`` refuses it."""
        if os.environ.get(VARIABLE) == "off":
            return None
        return ChannelOptions(threads=THREADS, table_bytes=TABLE_BYTES)

    def of_pool(self, engine: Pool, data: BlockDevice, trace: WriteTrace) -> PoolPlane:
        """Return the pool's plane. It serves nothing, and has a reason, if *data* is no block device."""
        if not isinstance(data, LinuxBlockDevice):
            return _nothing("the data device is no kernel block device")
        try:
            backend = _backend(data)
        except OSError as error:
            return _nothing(str(error))
        made = NativePoolPlane(self, engine, backend, trace)
        self._pools.append(made)
        trace.when_started = self._trace_started
        return made

    def traffic(self) -> PlaneTraffic:
        """Return what was served for all pools, those that are closed included."""
        return sum((pool.traffic() for pool in self._pools), self._closed)

    def closing(self, pool: "NativePoolPlane") -> None:
        """Keep the counts of a pool that is about to be closed."""
        self._pools.remove(pool)
        self._closed += pool.traffic()

    def _trace_started(self) -> None:
        for pool in self._pools:
            pool.serve_as_decided()

    async def watch(self) -> None:
        """Wake the tasks that wait until a device is idle, forever."""
        fd = native.plane_idle_fd()
        while True:
            await trio.lowlevel.wait_readable(fd)
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 8)
            self._idle.unpark_all()

    async def until(self, is_idle: Callable[[], bool]) -> None:
        """Return once *is_idle* returns True. It has no checkpoint if that is so at once."""
        if is_idle():
            return
        self._waiting += 1
        native.plane_await(True)
        try:
            while not is_idle():
                await self._idle.park()
        finally:
            self._waiting -= 1
            if not self._waiting:
                native.plane_await(False)


@dataclass(slots=True)
class _Served:
    """A `_Served` device has a file handle; its table knows mappings of the time *snapshotted*."""

    handle: int
    device: ThinDevice
    read_only: bool
    snapshotted: int
    serves: int = 0


class NativePoolPlane:
    """A `NativePoolPlane` serves the devices of one pool."""

    def __init__(self, plane: NativePlane, engine: Pool, backend: PlaneBackend, trace: WriteTrace) -> None:
        self._plane = plane
        self._engine = engine
        self._trace = trace
        self._backend = backend
        self._block = engine.block_size * 512
        self._pool = native.plane_pool_open(backend.fd, self._block, backend.access)
        self._served: dict[int, _Served] = {}
        self._holds = 0
        self._epoch = engine.transaction.epoch
        self._below: FileBelow | None = None

    def hold(self) -> None:
        self._holds += 1
        native.plane_pool_hold(self._pool)

    async def idle(self) -> None:
        await self._plane.until(lambda: native.plane_pool_is_idle(self._pool))

    def release(self) -> None:
        self._holds -= 1
        if not self._holds:
            self._forget_lost()
            self.serve_as_decided()
        native.plane_pool_release(self._pool)

    def learn(self, device: ThinDevice, offset: int, length: int) -> None:
        for served in self._of(device):
            first, end = offset // self._block, -(-(offset + length) // self._block)
            if not native.plane_knows(served.handle, first, end - first):
                self._look_up(served, first - first % _WINDOW, end + -end % _WINDOW)

    def changing(self, device: ThinDevice, offset: int, length: int) -> None:
        first, end = offset // self._block, -(-(offset + length) // self._block)
        for served in self._served.values():
            if served.device.record is device.record:
                native.plane_forget(served.handle, first, end - first)
                self._allow(served, served.serves & ~_FLUSHES)

    def below(self, data: BlockDevice) -> BlockDevice:
        if not self._backend.is_file:
            return data
        self._below = FileBelow(data, self._backend.fd)
        return self._below

    def traffic(self) -> PlaneTraffic:
        through = THROUGH_URING if self._plane.transport is IO_URING else ""
        served = PlaneTraffic(*native.plane_counts(self._pool), backend=self._backend.name + through)
        below = self._below
        if below is None:
            return served
        written = served.written_bytes + below.written_bytes
        return replace(
            served,
            read_bytes=served.read_bytes + below.read_bytes,
            written_bytes=written,
            unseen_bytes=written,
        )

    def close(self) -> None:
        self._plane.closing(self)
        native.plane_pool_close(self._pool)
        os.close(self._backend.fd)

    def open(self, handle: int, device: ThinDevice, *, read_only: bool) -> None:
        """Serve *device* as the file *handle*, once its hold is released. Raises ``OSError``."""
        native.plane_open(handle, self._pool, device.length * 512)
        served = _Served(handle, device, read_only, device.record.snapshotted_time)
        self._served[handle] = served
        self._set(served)

    def close_device(self, handle: int) -> None:
        """Serve the file *handle* no longer; its device is held and idle."""
        native.plane_close(handle)
        del self._served[handle]

    def _of(self, device: ThinDevice) -> list[_Served]:
        return [served for served in self._served.values() if served.device is device]

    def _look_up(self, served: _Served, first: int, end: int) -> None:
        device = served.device
        position = first
        for run in device.known_runs(first, end):
            if run.vblock > position and device.origin_bytes is None:
                native.plane_learn_unmapped(served.handle, position, run.vblock - position)
            native.plane_learn(served.handle, run.vblock, run.data_block, run.length, not run.shared)
            position = run.vblock + run.length
        if end > position and device.origin_bytes is None:
            native.plane_learn_unmapped(served.handle, position, end - position)

    def take_over(self) -> bool:
        if self._epoch != self._engine.transaction.epoch:
            return False
        self.serve_as_decided()
        return True

    def serve_as_decided(self) -> None:
        """Serve the kinds of requests that the engine and the trace allow now."""
        for served in self._served.values():
            self._set(served)

    def _forget_lost(self) -> None:
        """Forget the mappings of devices that have a new snapshot, and all after an aborted transaction."""
        aborted = self._epoch != self._engine.transaction.epoch
        self._epoch = self._engine.transaction.epoch
        for served in self._served.values():
            snapshotted = served.device.record.snapshotted_time
            if aborted or snapshotted != served.snapshotted:
                served.snapshotted = snapshotted
                native.plane_forget(served.handle, 0, 1 << 62)

    def _set(self, served: _Served) -> None:
        record, mode = served.device.record, self._engine.mode
        serves = 0 if mode is PoolMode.FAIL else _READS
        if serves and not served.read_only and not self._trace.recording:
            serves |= _WRITES
        if mode is PoolMode.WRITE and not record.changed and not record.lost_changes:
            serves |= _FLUSHES
        self._allow(served, serves)

    @staticmethod
    def _allow(served: _Served, serves: int) -> None:
        if serves != served.serves:
            served.serves = serves
            native.plane_set(served.handle, serves)


class VolumeBypass:
    """A `VolumeBypass` lets the requests of one file handle through to a `NativePoolPlane`."""

    def __init__(self, plane: NativePlane, handle: int) -> None:
        self._plane = plane
        self._handle = handle
        self._aimed: NativePoolPlane | None = None
        self._holds = 0

    def hold(self) -> None:
        self._holds += 1
        if self._aimed is not None:
            native.plane_hold(self._handle)

    async def idle(self) -> None:
        if self._aimed is not None:
            await self._plane.until(lambda: native.plane_is_idle(self._handle))

    def release(self) -> None:
        self._holds -= 1
        if self._aimed is not None:
            native.plane_release(self._handle)

    def aim(self, plane: PoolPlane | None, device: ThinDevice | None, *, read_only: bool) -> None:
        if self._aimed is not None:
            self._aimed.close_device(self._handle)
            self._aimed = None
        if isinstance(plane, NativePoolPlane) and device is not None:
            try:
                plane.open(self._handle, device, read_only=read_only)
            except OSError as error:
                log.warning("thin id %d is served by Python: %s", device.thin_id, error.strerror)
                return
            self._aimed = plane
            for _ in range(self._holds - 1):  # it is opened with one hold
                native.plane_hold(self._handle)


def _backend(data: LinuxBlockDevice) -> PlaneBackend:
    """Choose the file under *data* where it can be found, else the device. Raises ``OSError``."""
    try:
        fd = open_loop_file(data.path)
        maps = holes_stay_free(Path(f"/proc/self/fd/{fd}").readlink())
        return PlaneBackend(FILE, fd, is_file=True, access=_MAPS if maps else _TRANSFERS)
    except (ThinsimError, OSError) as error:
        log.info("%s has no usable file below: %s", data.path, error)
    refused = native.plane_ring_error()
    if refused:
        log.warning("no io_uring for %s, so it is slower: %s", data.path, os.strerror(refused))
        return PlaneBackend(THREADS_ALONE, data.duplicate(), is_file=False, access=_TRANSFERS)
    return PlaneBackend(RING, data.duplicate(), is_file=False, access=_TAKES)


def _nothing(why: str) -> NoPoolPlane:
    return NoPoolPlane(PlaneTraffic(backend=f"{PlaneTraffic().backend}: {why}"))
