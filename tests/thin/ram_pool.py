"""`RamPool` runs the engine in memory with the smallest possible executor, and can crash."""

import errno
import os

from tests.thin.ram_store import RamStore
from thinsim.thin.device import ThinDevice
from thinsim.thin.messages import send_message
from thinsim.thin.plan import (
    Commit,
    CopyData,
    CopyOrigin,
    FlushData,
    PassDown,
    PlanStep,
    ReadData,
    ReadOrigin,
    ReadStep,
    ReadZeros,
    WriteData,
    ZeroData,
)
from thinsim.thin.pool import Pool
from thinsim.thin.space_errors import Unserviceable
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors, bytes_of

NO_FEATURES = PoolFeatures()


class RamPool:
    """A `RamPool` is a committed pool of *data_blocks* blocks; its data device starts with stale bytes."""

    def __init__(
        self,
        data_blocks: int = 48,
        block_size: int = 8,
        features: PoolFeatures = NO_FEATURES,
        low_water_blocks: int = 0,
        data_can_discard: bool = True,
        old_content: bytes = b"\xee",
        metadata_blocks: int = 256,
    ) -> None:
        self.features = features
        self.data_blocks = data_blocks
        self.block_size = Sectors(block_size)
        self.block = bytes_of(self.block_size)
        self.low_water_blocks = low_water_blocks
        self.data_can_discard = data_can_discard
        self.data = bytearray(old_content * (data_blocks * self.block // len(old_content)))
        self.metadata = RamStore(metadata_blocks)
        self.passed_down: list[tuple[int, int]] = []
        self.origin: bytes | None = None
        self.fails_to_flush = False
        self.data_flushes = 0
        self.written: list[tuple[int, int]] = []
        self.pool = self._activate()
        self.commit()

    def thin(self, thin_id: int, blocks: int = 64) -> ThinDevice:
        """Create and open a device."""
        self.message(f"create_thin {thin_id}")
        return self.open(thin_id, blocks)

    def snap(self, thin_id: int, origin: int, blocks: int = 64) -> ThinDevice:
        """Create and open a snapshot."""
        self.message(f"create_snap {thin_id} {origin}")
        return self.open(thin_id, blocks)

    def open(self, thin_id: int, blocks: int = 64, origin: bytes | None = None) -> ThinDevice:
        """Open a device of *blocks* blocks; *origin* is the content of its external origin, if any."""
        self.origin = origin
        size = None if origin is None else len(origin)
        return self.pool.open_thin(thin_id, Sectors(blocks * self.block_size), size)

    def message(self, text: str) -> None:
        """Send a message; the pool commits."""
        send_message(self.pool, text)

    def write(self, device: ThinDevice, offset: int, content: bytes) -> None:
        """Write each block that can be written, one by one; raise the first error at the end."""
        failed: Unserviceable | None = None
        position = 0
        while position < len(content):
            at = offset + position
            try:
                plan = device.plan_write(at, len(content) - position)
            except Unserviceable as error:
                failed = failed or error
                position += self.block - at % self.block
                continue
            self.execute(plan.steps, content[position : position + plan.length])
            device.complete(plan)
            position += plan.length
        if failed is not None:
            raise failed

    def write_blocks(self, device: ThinDevice, vblock: int, count: int = 1, fill: bytes = b"w") -> None:
        """Write *count* whole blocks."""
        self.write(device, vblock * self.block, fill * (count * self.block))

    def read(self, device: ThinDevice, offset: int, length: int) -> bytes:
        """Read *length* bytes at *offset*."""
        return b"".join(self._answer(step) for step in device.plan_read(offset, length))

    def content(self, device: ThinDevice) -> bytes:
        """Return the whole content of a device."""
        return self.read(device, 0, bytes_of(device.length))

    def discard(self, device: ThinDevice, offset: int, length: int) -> None:
        """Discard *length* bytes at *offset*."""
        plan = device.plan_discard(offset, length)
        self.execute(plan.steps)
        device.complete(plan)

    def discard_blocks(self, device: ThinDevice, vblock: int, count: int = 1) -> None:
        """Discard *count* whole blocks."""
        self.discard(device, vblock * self.block, count * self.block)

    def flush(self, device: ThinDevice) -> None:
        """Flush a device."""
        self.execute(device.plan_flush())

    def commit(self) -> None:
        """Commit if the pool has changed."""
        if self.pool.changed:
            self.pool.commit()

    def crash(self) -> None:
        """Lose all state in memory except the two devices, then activate the pool again."""
        self.pool = self._activate()
        if self.pool.metadata.transaction.uncommitted:
            self.commit()

    def available(self) -> int:
        """Return the number of data blocks that can be allocated before a commit."""
        data = self.pool.metadata.data
        free = [block for block in range(data.nr_blocks_running) if not data.count(block)]
        return sum(not data.count_at_commit(block) for block in free)

    def problems(self) -> list[str]:
        """Return the problems that the checker finds."""
        return self.pool.check()

    def blocks_of(self, thin_id: int) -> dict[int, int]:
        """Return a device's data blocks by virtual block."""
        return {
            run.vblock + at: run.data_block + at
            for run in self.pool.mappings(thin_id)
            for at in range(run.length)
        }

    def execute(self, steps: list[PlanStep], request: bytes = b"") -> None:
        """Carry out *steps*."""
        for step in steps:
            match step:
                case WriteData(request_offset, data_offset, length):
                    self._put(data_offset, request[request_offset : request_offset + length])
                case CopyData(source_offset, data_offset, length):
                    self._put(data_offset, bytes(self.data[source_offset : source_offset + length]))
                case CopyOrigin(origin_offset, data_offset, length):
                    self._put(data_offset, self._origin(origin_offset, length))
                case ZeroData(data_offset, length):
                    self._put(data_offset, bytes(length))
                case PassDown(data_offset, length):
                    self.data[data_offset : data_offset + length] = bytes(length)
                    self.passed_down.append((data_offset // self.block, length // self.block))
                case Commit():
                    self.commit()
                case FlushData():
                    pass
                case ReadData() | ReadZeros() | ReadOrigin():
                    raise AssertionError(step)

    def _put(self, offset: int, content: bytes) -> None:
        assert offset + len(content) <= len(self.data)
        self.data[offset : offset + len(content)] = content
        self.written.append((offset, len(content)))

    def _answer(self, step: ReadStep) -> bytes:
        if isinstance(step, ReadZeros):
            return bytes(step.length)
        if isinstance(step, ReadOrigin):
            return self._origin(step.origin_offset, step.length)
        return bytes(self.data[step.data_offset : step.data_offset + step.length])

    def _origin(self, offset: int, length: int) -> bytes:
        assert self.origin is not None
        if offset + length > len(self.origin):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.origin[offset : offset + length]

    def _activate(self) -> Pool:
        return Pool(
            self.features,
            self.block_size,
            self.data_blocks,
            self.metadata,
            low_water_blocks=self.low_water_blocks,
            data_can_discard=self.data_can_discard,
            flush_data=self._flush_data,
        )

    def _flush_data(self) -> None:
        if self.fails_to_flush:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.data_flushes += 1


def busy_pool(empty_devices: int = 0, block_size: int = 1) -> RamPool:
    """Return a pool with deep trees, shared subtrees, counts above two and a metadata snapshot.

    It also has *empty_devices* devices without mappings, with thin ids from 20 on. *block_size* is in
    sectors. From 1.0 on, thin_restore and thin_repair need 128 or more, as the kernel does.
    """
    ram = RamPool(data_blocks=3000, block_size=block_size, metadata_blocks=512)
    for thin_id in range(4):
        device = ram.thin(thin_id, 4000)
        ram.write_blocks(device, thin_id * 7, 600)
        ram.pool.close_thin(device)
    for snap in range(10, 16):
        ram.message(f"create_snap {snap} {snap % 4}")
    for thin_id in range(20, 20 + empty_devices):
        ram.message(f"create_thin {thin_id}")
    ram.message("reserve_metadata_snap")
    device = ram.open(10, 4000)
    ram.write_blocks(device, 100, 90)
    ram.discard_blocks(device, 20, 300)
    ram.message("delete 3")
    ram.message("set_transaction_id 0 7")
    ram.commit()
    return ram
