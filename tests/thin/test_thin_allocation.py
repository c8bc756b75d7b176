"""The data space map allocates the next block that is free in both views, and counts references."""

import pytest

from tests.thin.ram_store import RamStore
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.pool_metadata import PoolMetadata


def pool_of(blocks: int, metadata_blocks: int = 256) -> PoolMetadata:
    metadata = PoolMetadata(RamStore(metadata_blocks), 128)
    metadata.extend_data(blocks)
    metadata.commit()
    return metadata


def take(metadata: PoolMetadata, count: int) -> list[int | None]:
    return [metadata.allocate() for _ in range(count)]


def test_blocks_come_in_the_kernel_s_order() -> None:
    metadata = pool_of(20)
    assert take(metadata, 10) == list(range(10))
    metadata.commit()
    metadata.decrement(2, 5)
    assert take(metadata, 3) == [10, 11, 12]
    metadata.commit()
    assert take(metadata, 9) == [13, 14, 15, 16, 17, 18, 19, 2, 3]


def test_the_cursor_does_not_outlive_the_pool() -> None:
    metadata = pool_of(20)
    take(metadata, 10)
    metadata.commit()
    metadata.decrement(2, 5)
    metadata.commit()
    again = PoolMetadata(metadata.blocks.store, 128)
    assert take(again, 4) == [2, 3, 4, 10]


def test_a_block_freed_in_this_transaction_waits_for_the_commit() -> None:
    metadata = pool_of(2)
    take(metadata, 2)
    metadata.commit()
    metadata.decrement(0, 1)
    assert metadata.data.nr_free == 1
    assert metadata.allocate() is None
    metadata.commit()
    assert metadata.allocate() == 0


def test_a_block_that_was_free_at_the_last_commit_can_be_reused_at_once() -> None:
    metadata = pool_of(1)
    assert metadata.allocate() == 0
    metadata.decrement(0, 1)
    assert metadata.allocate() == 0


def test_the_last_reference_frees() -> None:
    metadata = pool_of(1)
    metadata.allocate()
    data = metadata.data
    metadata.increment(0, 1)
    metadata.decrement(0, 1)
    assert (data.count(0), data.nr_allocated) == (1, 1)
    metadata.decrement(0, 1)
    assert (data.count(0), data.nr_allocated, data.nr_free) == (0, 0, 1)
    with pytest.raises(MetadataDamagedError, match="block 0 has no reference to drop"):
        metadata.decrement(0, 1)


def test_counts_above_two_are_kept_and_come_back() -> None:
    metadata = pool_of(400)
    for count in range(1, 8):
        metadata.increment(count * 20, 400)
    metadata.commit()
    again = PoolMetadata(metadata.blocks.store, 128)
    assert [again.data.count(block) for block in range(400)] == [min(block // 20, 7) for block in range(400)]
    for _ in range(3):
        again.decrement(140, 400)
    assert [again.data.count(block) for block in (139, 140, 399)] == [6, 4, 4]
    for _ in range(4):
        again.decrement(140, 400)
    assert [again.data.count(block) for block in (139, 140, 399)] == [6, 0, 0]
    assert dict(again.data.counts.many_entries()) == {block: block // 20 for block in range(60, 140)}


def test_grown_blocks_are_allocated_at_once_and_counted_after_the_commit() -> None:
    metadata = pool_of(1)
    metadata.allocate()
    metadata.extend_data(3)
    assert (metadata.data.nr_blocks, metadata.data.nr_free) == (1, 0)
    assert take(metadata, 3) == [1, 2, None]
    metadata.commit()
    assert (metadata.data.nr_blocks, metadata.data.nr_free) == (3, 0)


def test_allocation_crosses_bitmaps_and_wraps() -> None:
    metadata = pool_of(16320 * 2 + 5)
    metadata.increment(0, 16320)
    metadata.increment(16321, 16320 * 2 + 4)
    metadata.commit()
    assert take(metadata, 3) == [16320, 16320 * 2 + 4, None]
    metadata.decrement(16319, 16320)
    metadata.commit()
    assert take(metadata, 2) == [16319, None]


def test_more_bitmaps_than_the_index_keeps_in_memory() -> None:
    blocks = 16320 * 130
    metadata = pool_of(blocks, metadata_blocks=1000)
    for begin in range(0, blocks, 16320):
        metadata.increment(begin, begin + 3)
    metadata.commit()
    again = PoolMetadata(metadata.blocks.store, 128)
    assert again.data.nr_allocated == 130 * 3
    assert all(again.data.count(begin + 2) == 1 for begin in range(0, blocks, 16320))
    assert not any(again.data.count(begin + 3) for begin in range(0, blocks, 16320))
