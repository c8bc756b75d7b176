"""The format on disk is the kernel's, byte for byte, and histories use as many blocks as there."""

import errno
from collections.abc import Iterable

import pytest

from tests.thin.ram_store import RamStore
from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.bitmap import Bitmap, IndexEntry, MetadataIndex
from thinsim.thin.metadata.btree_node import Node, max_entries
from thinsim.thin.metadata.checksum import checksum
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.metadata_snapshot import release_snapshot, reserve_snapshot
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.superblock import SpaceMapRoot, Superblock

A, B = ThinId(0), ThinId(1)


def fresh(metadata_blocks: int, data_blocks: int) -> PoolMetadata:
    metadata = PoolMetadata(RamStore(metadata_blocks), 128)
    metadata.extend_data(data_blocks)
    metadata.commit()
    return metadata


def write(metadata: PoolMetadata, thin_id: ThinId, vblocks: Iterable[int]) -> None:
    record = metadata.open_thin(thin_id)
    for vblock in vblocks:
        block = metadata.allocate()
        assert block is not None
        metadata.insert(record, vblock, block)
    metadata.close_thin(record)


def discard(metadata: PoolMetadata, thin_id: ThinId, begin: int, end: int) -> None:
    record = metadata.open_thin(thin_id)
    metadata.remove_range(record, begin, end)
    metadata.close_thin(record)


def used(metadata: PoolMetadata) -> tuple[int, int]:
    metadata.commit()
    return metadata.transaction.used_blocks, metadata.data.nr_allocated


def test_the_checksum_is_crc_32c_without_the_final_inversion() -> None:
    assert checksum(b"\0\0\0\x00123456789", 0) == 0x1CF96D7C


def test_a_fresh_pool_has_the_kernel_s_blocks_in_the_kernel_s_order() -> None:
    store = RamStore(4096)
    PoolMetadata(store, 128)
    assert [int.from_bytes(store.content[block][:4], "little") for block in range(8)] == [
        0x9BBC0C88,
        0x18E0660A,
        0xC360E452,
        0xA19F6375,
        0x787F52C8,
        0x41BFAA04,
        0xCB3DDA35,
        0xB1C81346,
    ]
    assert sorted(store.content) == list(range(8))
    assert store.content[3][16:18] == b"\xaa\xaa"
    assert MetadataIndex.decode(store.content[1], 1).entries[0] == IndexEntry(3, 16312, 8)


def test_growth_and_a_first_device_take_the_kernel_s_blocks() -> None:
    metadata = fresh(4096, 10000)
    superblock = metadata.superblock
    assert superblock.data_space_map == SpaceMapRoot(10000, 0, 10, 5)
    assert superblock.metadata_space_map == SpaceMapRoot(4096, 9, 11, 2)
    metadata.create_thin(A)
    metadata.commit()
    assert (superblock.mapping_root, superblock.details_root) == (14, 15)
    assert metadata.trees.top.lookup(14, 0) == 12
    assert superblock.metadata_space_map.bitmap_root == 16


def test_a_bitmap_keeps_the_high_bit_first() -> None:
    bitmap = Bitmap()
    for block in (0, 2, 20, 28, 29, 30, 31, 32, 33, 34):
        bitmap.counts[block] = 1
    bitmap.counts[5] = 1
    packed = bitmap.encode(9)[16:25]
    assert packed == bytes.fromhex("22 08 00 00 00 02 00 aa 2a")
    assert Bitmap.decode(bitmap.encode(9), 9).counts == bitmap.counts
    bitmap.counts[:4] = bytes([0, 1, 2, 3])
    assert bitmap.encode(9)[16] == 0b11_01_10_00


@pytest.mark.parametrize(("size", "entries"), [(8, 252), (24, 126), (16, 168), (4, 336)])
def test_a_node_has_room_for_a_multiple_of_three(size: int, entries: int) -> None:
    assert max_entries(size) == entries
    node = Node.empty(True, size)
    value = {8: 7, 4: 7, 16: (1, 2, 3), 24: (1, 2, 3, 4)}[size]
    for key in range(entries):
        node.insert(key, key * 3, value)
    again = Node.decode(node.encode(5), 5)
    assert (list(again.keys), list(again.values)) == (list(node.keys), list(node.values))
    with pytest.raises(MetadataDamagedError, match="a btree node is full"):
        node.insert(0, 0, value)


def test_a_superblock_keeps_all_its_fields() -> None:
    superblock = Superblock(
        data_block_size=128,
        metadata_nr_blocks=4096,
        flags=1,
        time=7,
        transaction_id=1 << 63,
        held_root=99,
        data_space_map=SpaceMapRoot(1, 2, 3, 4),
        metadata_space_map=SpaceMapRoot(5, 6, 7, 8),
        mapping_root=10,
        details_root=11,
        uuid=b"0123456789abcdef",
        compat_flags=3,
    )
    assert Superblock.decode(superblock.encode(0), 0) == superblock
    with pytest.raises(MetadataDamagedError) as caught:
        Superblock.decode(superblock.encode(0), 1)
    assert caught.value.errno == errno.ENOTBLK


def test_a_history_of_one_device_and_its_snapshot_takes_the_kernel_s_blocks() -> None:
    metadata = fresh(4096, 10000)
    assert used(metadata) == (418, 0)
    metadata.create_thin(A)
    assert used(metadata) == (419, 0)
    write(metadata, A, range(253))
    assert used(metadata) == (421, 253)
    write(metadata, A, range(253, 1000))
    assert used(metadata) == (424, 1000)
    root = metadata.blocks.get(metadata.trees.top.lookup(metadata.superblock.mapping_root, 0), Node)
    assert [len(metadata.blocks.get(leaf, Node)) for leaf in root.values] == [248, 248, 248, 126, 130]
    metadata.create_snap(B, A)
    assert used(metadata) == (424, 1000)
    write(metadata, B, [0])
    assert used(metadata) == (426, 1001)
    write(metadata, A, range(500, 600))
    assert used(metadata) == (427, 1101)
    discard(metadata, B, 0, 1000)
    assert used(metadata) == (425, 1000)
    reserve_snapshot(metadata.transaction)
    assert used(metadata) == (426, 1000)
    write(metadata, A, [0, 1])
    assert used(metadata) == (430, 1002)
    release_snapshot(metadata.transaction)
    assert used(metadata) == (425, 1000)
    metadata.delete(B)
    assert used(metadata) == (424, 1000)
    metadata.delete(A)
    assert used(metadata) == (418, 0)


def test_descending_writes_leave_the_kernel_s_leaves() -> None:
    metadata = fresh(4096, 10000)
    metadata.create_thin(A)
    write(metadata, A, range(999, -1, -1))
    assert used(metadata) == (424, 1000)
    root = metadata.blocks.get(metadata.trees.top.lookup(metadata.superblock.mapping_root, 0), Node)
    assert [len(metadata.blocks.get(leaf, Node)) for leaf in root.values] == [139, 126, 245, 245, 245]


def test_many_devices_and_many_snapshots_take_the_kernel_s_blocks() -> None:
    metadata = fresh(4096, 4000)
    for number in range(1000):
        metadata.create_thin(ThinId(number))
        metadata.commit()
    assert used(metadata) == (1432, 0)
    metadata = fresh(4096, 4000)
    metadata.create_thin(A)
    for number in range(1, 1001):
        metadata.create_snap(ThinId(number), A)
        metadata.commit()
    assert used(metadata) == (433, 0)
    assert metadata.superblock.time == 1000


def test_a_gibibyte_written_twice_and_discarded_takes_the_kernel_s_blocks() -> None:
    metadata = fresh(2048, 40000)
    metadata.create_thin(A)
    write(metadata, A, range(16384))
    assert used(metadata) == (283, 16384)
    metadata.create_snap(B, A)
    write(metadata, B, range(16384))
    assert used(metadata) == (351, 32768)
    discard(metadata, B, 0, 16384)
    assert used(metadata) == (284, 16384)


@pytest.mark.parametrize(
    ("metadata_blocks", "data_blocks", "expected", "total"),
    [
        (512, 1600, 60, 512),
        (1024, 16384, 112, 1024),
        (262144, 163840, 4131, 262144),
        (4194304, 163840, 4369, 4161600),
    ],
)
def test_a_fresh_pool_uses_the_kernel_s_number_of_blocks(
    metadata_blocks: int, data_blocks: int, expected: int, total: int
) -> None:
    metadata = fresh(metadata_blocks, data_blocks)
    assert (metadata.transaction.used_blocks, metadata.space.nr_blocks) == (expected, total)
