"""Damaged metadata causes a precise error and the kernel's mode, never a wrong answer or an overwrite.

THINSIM_CORRUPTIONS sets the number of corruptions tried per kind (40).
"""

import errno
import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.thin.conftest import Tally
from tests.thin.damage import ACCIDENTS, DamageOutcome, forge, outcome
from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import BLOCK, RamStore
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.mapping import Run
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.superblock import Superblock
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

DATA_BLOCKS = 3000
CORRUPTIONS = int(os.environ.get("THINSIM_CORRUPTIONS", "40"))


@pytest.fixture(scope="module")
def sound() -> tuple[RamStore, dict[int, list[Run]]]:
    ram = RamPool(data_blocks=DATA_BLOCKS, block_size=1, metadata_blocks=512)
    for thin_id in range(3):
        ram.write_blocks(ram.thin(thin_id, 4000), thin_id * 50, 500)
    for snap in range(3, 8):
        ram.message(f"create_snap {snap} {snap % 3}")
    ram.message("reserve_metadata_snap")
    ram.write_blocks(ram.open(3, 4000), 100, 200)
    ram.commit()
    assert ram.problems() == []
    return ram.metadata, {int(thin_id): ram.pool.mappings(thin_id) for thin_id in ram.pool.thin_ids()}


def note(tally: Tally, what: str, found: Counter[DamageOutcome]) -> None:
    counts = {"corruptions": found.total()}
    counts.update({each.name.lower().replace("_", " "): found[each] for each in DamageOutcome})
    tally("corruptions of a metadata device, by what a pool on it did", what.replace("_", " "), counts)


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda each: each.__name__)
def test_an_accident_gives_an_error_or_the_right_answer(
    sound: tuple[RamStore, dict[int, list[Run]]],
    accident: Callable[[RamStore, random.Random], None],
    tally: Tally,
) -> None:
    store, expected = sound
    found: Counter[DamageOutcome] = Counter()
    for seed in range(CORRUPTIONS):
        choose = random.Random(seed)
        copy = store.copy()
        accident(copy, choose)
        found[outcome(copy, expected, DATA_BLOCKS, choose, forged=False)] += 1
    note(tally, accident.__name__, found)
    assert found.total() == CORRUPTIONS


def test_forged_metadata_neither_crashes_nor_hangs(
    sound: tuple[RamStore, dict[int, list[Run]]], tally: Tally
) -> None:
    store, expected = sound
    found: Counter[DamageOutcome] = Counter()
    for seed in range(CORRUPTIONS * 3):
        choose = random.Random(seed)
        copy = store.copy()
        forge(copy, choose)
        found[outcome(copy, expected, DATA_BLOCKS, choose, forged=True)] += 1
    note(tally, "forge (right checksum)", found)
    assert found.total() == CORRUPTIONS * 3


def refused(store: RamStore, number: int, text: str, block_size: int = 1) -> None:
    before = dict(store.content)
    with pytest.raises(KernelError, match=text) as caught:
        Pool(PoolFeatures(), Sectors(block_size), DATA_BLOCKS, store)
    assert caught.value.errno == number
    assert store.content == before


def with_superblock(store: RamStore, **fields: object) -> RamStore:
    copy = store.copy()
    superblock = Superblock.decode(copy.content[0], 0)
    for name, value in fields.items():
        setattr(superblock, name, value)
    copy.content[0] = superblock.encode(0)
    return copy


def test_a_block_that_is_not_a_superblock_is_named(sound: tuple[RamStore, dict[int, list[Run]]]) -> None:
    store = sound[0].copy()
    store.content[0] = b"LUKS".ljust(BLOCK, b"\0")
    refused(store, errno.EILSEQ, "block 0 is not a superblock: magic")
    store = sound[0].copy()
    store.content[0] = store.content[0][:100] + b"!" + store.content[0][101:]
    refused(store, errno.EILSEQ, "block 0 is not a valid superblock: checksum")
    store = with_superblock(sound[0])
    store.content[0] = Superblock.decode(store.content[0], 0).encode(7)
    refused(store, errno.ENOTBLK, "it carries block number 7")


def test_features_of_a_newer_format_are_refused_and_a_newer_version_is_not(
    sound: tuple[RamStore, dict[int, list[Run]]],
) -> None:
    for field in ("incompat_flags", "compat_ro_flags"):
        refused(with_superblock(sound[0], **{field: 4}), errno.EINVAL, r"not supported \(0x4\)")
    pool = Pool(PoolFeatures(), Sectors(1), DATA_BLOCKS, with_superblock(sound[0], version=9, compat_flags=1))
    assert pool.status().mode == "rw"


def test_another_block_size_and_devices_that_shrank_are_refused(
    sound: tuple[RamStore, dict[int, list[Run]]],
) -> None:
    refused(sound[0].copy(), errno.EINVAL, "from 1 to 128", block_size=128)
    shrunk = sound[0].copy()
    shrunk.blocks = 511
    refused(shrunk, errno.EINVAL, r"metadata device \(511 blocks\) too small: expected 512")
    with pytest.raises(DeviceMapperError, match="too small: expected 3000"):
        Pool(PoolFeatures(), Sectors(1), DATA_BLOCKS - 1, sound[0].copy())


def test_a_block_that_can_not_be_read_fails_the_request_and_not_the_pool(
    sound: tuple[RamStore, dict[int, list[Run]]],
) -> None:
    store = sound[0].copy()
    pool = Pool(PoolFeatures(), Sectors(1), DATA_BLOCKS, store)
    device = pool.open_thin(0, Sectors(4000))
    store.fails = {"read"}
    with pytest.raises(DeviceMapperError) as caught:
        device.plan_read(0, 512)
    assert caught.value.errno == errno.EIO
    assert device.status().text(0, 4000) == "0 4000 thin Error"
    assert pool.status().mode == "rw"
    store.fails = set()
    assert len(device.plan_read(0, 512)) == 1


def test_damage_found_during_a_change_aborts_and_asks_for_a_check(
    sound: tuple[RamStore, dict[int, list[Run]]],
) -> None:
    store = sound[0].copy()
    pool = Pool(PoolFeatures(), Sectors(1), DATA_BLOCKS, store)
    bitmap = pool.metadata.data.counts.index.load(0).block
    store.content[bitmap] = bytes(BLOCK)
    device = pool.open_thin(0, Sectors(4000))
    with pytest.raises(DeviceMapperError) as caught:
        device.plan_write(3500 * 512, 512)
    assert caught.value.errno == errno.EIO
    assert (pool.status().mode, pool.status().needs_check) == ("ro", True)
    assert pool.mappings(0) == sound[1][0]
    assert Superblock.decode(store.content[0], 0).needs_check
    with pytest.raises(MetadataDamagedError, match="it carries block number 0"):
        pool.metadata.data.count(0)


def test_a_device_without_room_is_enospc_and_stays_empty() -> None:
    for blocks in range(8):
        store = RamStore(blocks)
        with pytest.raises((KernelError, OSError)):
            Pool(PoolFeatures(), Sectors(1), 10, store)
        assert store.content == {}
    for blocks in (8, 9):
        store = RamStore(blocks)
        with pytest.raises(DeviceMapperError) as caught:
            Pool(PoolFeatures(), Sectors(1), 10, store)
        assert caught.value.errno == errno.ENOSPC
        assert Superblock.decode(store.content[0], 0).needs_check
