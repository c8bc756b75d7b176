"""A history that grows, shares and shrinks deep trees uses the same blocks as on Linux 6.1.

The pool has 2 GiB with blocks of 64 KiB, and 16 MiB of metadata. The history has thin devices of 2 GiB,
snapshots of snapshots, a metadata snapshot, long discards over shared blocks, and more devices than fit in
one node of the top tree. Each write has 4 KiB and goes to another block.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.thin.metadata_tools import needs_tools, thin_check
from tests.thin.ram_store import RamStore
from thinsim.thin.device import ThinDevice
from thinsim.thin.messages import send_message
from thinsim.thin.pool import Pool
from thinsim.thin.status import PoolStatus, parse_pool_status
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

BLOCK = 65536
DEVICE_BLOCKS = 32768
SECTORS = Sectors(DEVICE_BLOCKS * 128)
ANSWERS = Path(__file__).parent / "data" / "linux-6.1-deep-trees.txt"


class DeepTreeHistory:
    """A `DeepTreeHistory` carries the history out; ``statuses`` yields a pool status after each part."""

    def __init__(self) -> None:
        self.store = RamStore(4096)
        self.pool = Pool(PoolFeatures(skip_block_zeroing=True), Sectors(128), DEVICE_BLOCKS, self.store)
        self.pool.commit()
        self.devices: dict[int, ThinDevice] = {}
        self.random = random.Random(1)

    def statuses(self) -> Iterator[PoolStatus]:
        yield from self.grow()
        yield from self.snapshot()
        yield from self.discard_shared()
        yield from self.many_devices()
        yield from self.shrink()

    def grow(self) -> Iterator[PoolStatus]:
        self.create(0)
        yield self.write(0, list(range(1500)))
        yield self.write(0, self.anywhere(1500))

    def snapshot(self) -> Iterator[PoolStatus]:
        self.create(1, 0)
        yield self.write(0, self.anywhere(500, 3000))
        yield self.write(1, self.anywhere(500))
        for snap in range(2, 14):
            self.create(snap, self.random.randrange(snap))
            yield self.write(snap, self.anywhere(60))
        yield self.ask("reserve_metadata_snap")
        for thin_id in (3, 0, 7):
            yield self.write(thin_id, sorted(self.anywhere(80)))

    def discard_shared(self) -> Iterator[PoolStatus]:
        for _ in range(40):
            thin_id, begin = self.random.randrange(14), self.random.randrange(28000)
            yield self.discard(thin_id, begin, self.random.choice([1, 5, 100, 700, 2000]))

    def many_devices(self) -> Iterator[PoolStatus]:
        for number in range(300):
            send_message(self.pool, f"create_thin {1000 + number * 3 % 900}")
        yield self.status()
        for number in range(0, 300, 7):
            send_message(self.pool, f"delete {1000 + number * 3 % 900}")
        yield self.status()

    def shrink(self) -> Iterator[PoolStatus]:
        for thin_id in (5, 2):
            yield self.discard(thin_id, 0, DEVICE_BLOCKS)
        yield self.ask("release_metadata_snap")
        for thin_id in (4, 6, 8):
            yield self.delete(thin_id)
        yield self.write(2, list(range(20000, 19400, -1)))
        yield self.write(5, list(range(0, 3000, 5)))
        for number in range(300):
            if number % 7:
                send_message(self.pool, f"delete {1000 + number * 3 % 900}")
        yield self.status()
        yield self.discard(0, 0, DEVICE_BLOCKS)
        for thin_id in (0, 1, 2, 3, 5, 7, 9, 10, 11, 12, 13):
            yield self.delete(thin_id)

    def anywhere(self, count: int, below: int = 30000) -> list[int]:
        return [self.random.randrange(below) for _ in range(count)]

    def create(self, thin_id: int, origin: int | None = None) -> None:
        send_message(
            self.pool, f"create_thin {thin_id}" if origin is None else f"create_snap {thin_id} {origin}"
        )
        self.devices[thin_id] = self.pool.open_thin(thin_id, SECTORS)

    def delete(self, thin_id: int) -> PoolStatus:
        self.pool.close_thin(self.devices.pop(thin_id))
        return self.ask(f"delete {thin_id}")

    def write(self, thin_id: int, vblocks: list[int]) -> PoolStatus:
        device = self.devices[thin_id]
        for vblock in vblocks:
            device.complete(device.plan_write(vblock * BLOCK, 4096))
        return self.status()

    def discard(self, thin_id: int, begin: int, length: int) -> PoolStatus:
        device = self.devices[thin_id]
        length = min(length, DEVICE_BLOCKS - begin)
        device.complete(device.plan_discard(begin * BLOCK, length * BLOCK))
        return self.status()

    def ask(self, message: str) -> PoolStatus:
        send_message(self.pool, message)
        return self.status()

    def status(self) -> PoolStatus:
        if self.pool.changed:
            self.pool.commit()
        return self.pool.status()


def without_held_block(status: PoolStatus) -> tuple[object, ...]:
    return (
        status.used_metadata,
        status.total_metadata,
        status.used_data,
        status.total_data,
        status.held_root is None,
        status.mode,
    )


def test_deep_trees_take_as_many_blocks_as_the_kernel_s() -> None:
    recorded = [parse_pool_status(line) for line in ANSWERS.read_text().splitlines()]
    history = DeepTreeHistory()
    for number, (found, expected) in enumerate(zip(history.statuses(), recorded, strict=True)):
        assert without_held_block(found) == without_held_block(expected), f"part {number}"
    assert history.pool.check() == []


@needs_tools
@pytest.mark.parametrize("parts", [30, 62])
def test_thin_check_accepts_deep_trees(parts: int, tmp_path: Path) -> None:
    history = DeepTreeHistory()
    for _, _ in zip(range(parts), history.statuses(), strict=False):
        pass
    assert history.pool.check() == []
    assert thin_check(history.store, tmp_path / "metadata") == ""
