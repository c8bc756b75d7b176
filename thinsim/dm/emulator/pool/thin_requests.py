"""`ThinRequests` carries out the requests of a pool's thin devices: read, write, discard, flush.

The engine (``thinsim.thin``) decides and the executor acts. This module separates requests that must not
overlap, and turns device errors into the errno that a bio ends with.
"""

import errno
import logging
from collections.abc import Awaitable, Callable

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.gate import Gate
from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.arrivals import Arrival, Arrivals
from thinsim.dm.emulator.pool.commit_clock import CommitClock
from thinsim.dm.emulator.pool.executor import execute, execute_read
from thinsim.dm.emulator.pool.external_origin import OriginCopy, fill_in, without_origin
from thinsim.dm.emulator.pool.mapping_turns import MappingTurns
from thinsim.dm.emulator.pool.plane import PoolPlane
from thinsim.dm.emulator.pool.pool_io import WriteOutcome, discard_thin, io_error, write_thin
from thinsim.dm.emulator.runner import Runner
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.plan import Commit, ReadZeros
from thinsim.thin.space_errors import OutOfDataSpace

log = logging.getLogger(__name__)


class ThinRequests:
    """`ThinRequests` are the requests on the thin devices of one pool.

    *data* is the pool's data device; *commit* commits the pool. Offsets and lengths are in bytes. A
    DeviceMapperError has the errno of the bio: EIO also for a closed device.
    """

    def __init__(
        self,
        data: BlockDevice,
        run: Runner,
        turns: MappingTurns,
        clock: CommitClock,
        commit: Callable[[], Awaitable[None]],
        plane: PoolPlane,
    ) -> None:
        self.gate = Gate(plane)
        """The gate is closed while the pool is suspended."""
        self._data = data
        self._run = run
        self._turns = turns
        self._clock = clock
        self._commit = commit
        self._plane = plane
        self._arrivals = Arrivals()
        self._thins: dict[ThinDevice, LowerDevice | None] = {}

    def begin(self, device: ThinDevice, origin: LowerDevice | None) -> None:
        """Accept requests of *device* from now on; *origin* is its external origin."""
        self._thins[device] = origin

    def end(self, device: ThinDevice) -> None:
        """Let requests of *device* that have not begun yet end with EIO."""
        del self._thins[device]

    async def read(self, device: ThinDevice, offset: int, length: int) -> bytes:
        """Return *length* bytes of *device*."""
        async with self.gate.passing(), self._turns.shared():
            self._check_open(device)
            origin = self._thins[device]
            steps = await self._turns.look(lambda: device.plan_read(offset, length))
            await self._turns.look(lambda: self._plane.learn(device, offset, length))
            inside = steps if origin is None else without_origin(steps)
            try:
                answer: bytes = await self._run(execute_read, inside, self._data)
            except OSError as error:
                raise io_error(error) from error
        return answer if origin is None else await fill_in(answer, steps, origin)

    async def content(self, device: ThinDevice, offset: int, length: int) -> list[tuple[int, int]]:
        """Return (offset, length) of each part that may not be zeros: mapped, or of an external origin."""
        async with self.gate.passing(), self._turns.shared():
            self._check_open(device)
            steps = await self._turns.look(lambda: device.plan_read(offset, length))
        found = []
        for step in steps:
            if not isinstance(step, ReadZeros):
                found.append((offset, step.length))
            offset += step.length
        return found

    async def write(
        self,
        device: ThinDevice,
        offset: int,
        data: bytes | memoryview,
        ended: Callable[[], object] | None = None,
    ) -> None:
        """Write *data*; wait for space under queue_if_no_space, ENOSPC if none comes.

        Blocks are independent, as in the kernel: a block without space does not keep others from being
        written. The request ends with the first error. *ended* may be called, on a worker thread, once
        everything is written and mapped.
        """
        with self._arrivals.arriving() as arrival:
            async with self.gate.passing():
                if await self._mapped_write(device, offset, data, arrival):
                    return
            origin = await self._copy_origin(device, offset, len(data), arrival)
            # Outside the gate: one that is before it in the order may have to wait there.
            await arrival.first()
            self._turns.held.worker_runs()
            outcome = await self._passing_write(device, offset, data, origin, ended)
        failed, pieces = outcome.failed, outcome.waiting
        while pieces:
            log.warning("the pool is out of data space: a write waits")
            # Outside the gate: a suspend of the pool does not wait for space (pool_presuspend).
            await self._turns.held.wait(device)
            waiting: list[tuple[int, bytes | memoryview]] = []
            for at, piece in pieces:
                outcome = await self._passing_write(device, at, piece, origin)
                waiting += outcome.waiting
                failed = failed or outcome.failed
            pieces = waiting
        if failed is not None:
            raise failed

    async def discard(self, device: ThinDevice, offset: int, length: int) -> None:
        """Unmap and pass down, in two stages around the execution (dm-thin.c, passdown_pt1, _pt2)."""
        self._turns.held.worker_runs()
        async with self.gate.passing(), self._turns.changing():
            self._check_open(device)
            self._plane.changing(device, offset, length)
            await self._run(discard_thin, device, offset, length, self._data, self._clock.if_due())

    async def flush(self, device: ThinDevice) -> None:
        """Flush the data device, or commit if *device* changed in this transaction.

        In a pool without space it may wait, as a write does (see ``plan_flush``).
        """
        self._turns.held.worker_runs()
        while True:
            try:
                await self._flush(device)
            except OutOfDataSpace:
                await self._turns.held.wait(device)
            else:
                return

    async def _flush(self, device: ThinDevice) -> None:
        async with self.gate.passing():
            async with self._turns.shared():
                self._check_open(device)
                steps = await self._turns.look(device.plan_flush)
                if not any(isinstance(step, Commit) for step in steps):
                    try:
                        await self._run(self._data.flush)
                    except OSError as error:
                        raise io_error(error) from error
                    return
            await self._commit()
            self._clock.committed()

    async def _mapped_write(
        self, device: ThinDevice, offset: int, data: bytes | memoryview, arrival: Arrival
    ) -> bool:
        """Write *data* if that changes no mapping; return whether it was written.

        Give *arrival* up as soon as that is known.
        """
        async with self._turns.shared():
            self._check_open(device)
            if await self._turns.look(lambda: device.needs_remap(offset, len(data))):
                return False
            arrival.leave()
            plan = await self._turns.look(lambda: device.plan_write(offset, len(data)))
            await self._turns.look(lambda: self._plane.learn(device, offset, len(data)))
            try:
                await self._run(execute, plan.steps, self._data, data)
            except OSError as error:
                raise io_error(error) from error
            return True

    async def _copy_origin(
        self, device: ThinDevice, offset: int, length: int, arrival: Arrival
    ) -> OriginCopy | None:
        """Return what the external origin has of the range; give *arrival* up if there is an origin."""
        self._check_open(device)
        origin = self._thins[device]
        if origin is None:
            return None
        arrival.leave()
        return await OriginCopy().fetch(origin, device.origin_ranges(offset, length))

    async def _passing_write(
        self,
        device: ThinDevice,
        offset: int,
        data: bytes | memoryview,
        origin: OriginCopy | None,
        ended: Callable[[], object] | None = None,
    ) -> WriteOutcome:
        async with self.gate.passing(), self._turns.changing(beside_bypass=True):
            self._check_open(device)
            # A block that was unmapped has no reader. A shared one may be freed when its copy replaces it.
            held = await self._turns.look(lambda: device.breaks_sharing(offset, len(data)))
            if held:
                self._plane.hold()
                await self._plane.idle()
            # Before the end of the write: a client that waits for it may read or flush at once.
            self._plane.changing(device, offset, len(data))
            try:
                outcome: WriteOutcome = await self._run(
                    write_thin, device, offset, data, self._data, origin, self._clock.if_due(), ended
                )
            finally:
                if not held and not self._plane.take_over():
                    held = True
                    self._plane.hold()
                    await self._plane.idle()
                if held:
                    self._plane.release()
            return outcome

    def _check_open(self, device: ThinDevice) -> None:
        if device not in self._thins:
            raise DeviceMapperError(errno.EIO, f"the device of thin id {device.thin_id} was removed")
