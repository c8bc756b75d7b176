"""Accidents damage a metadata device; a pool on it must fail precisely or give the right answer.

Only damage with a right checksum, which no accident makes, may give a wrong answer. It must not cause a
crash or a hang.
"""

import random
import struct
from collections.abc import Callable
from enum import Enum

from tests.thin.ram_store import BLOCK, RamStore
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.mapping import Run
from thinsim.thin.messages import send_message
from thinsim.thin.metadata.bitmap import Bitmap, MetadataIndex
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.checksum import BITMAP_SALT, INDEX_SALT, NODE_SALT, SUPERBLOCK_SALT, seal
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.metadata.superblock import Superblock
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

SALTS = {SUPERBLOCK_SALT: Superblock, NODE_SALT: Node, BITMAP_SALT: Bitmap, INDEX_SALT: MetadataIndex}


class DamageOutcome(Enum):
    REFUSED = "refused at activation, nothing written"
    UNHARMED = "every answer right"
    FAILED_REQUESTS = "some requests failed with EIO, the rest right"
    READ_ONLY = "read-only and in need of a check"
    FAILED = "failed mode"


def flip_a_bit(store: RamStore, choose: random.Random) -> None:
    block = choose.choice(sorted(store.content))
    content = bytearray(store.content[block])
    content[choose.randrange(BLOCK)] ^= 1 << choose.randrange(8)
    store.content[block] = bytes(content)


def overwrite_a_piece(store: RamStore, choose: random.Random) -> None:
    block = choose.choice(sorted(store.content))
    content = bytearray(store.content[block])
    start = choose.randrange(BLOCK)
    length = choose.randint(1, BLOCK - start)
    content[start : start + length] = choose.randbytes(length)
    store.content[block] = bytes(content)


def zero_a_block(store: RamStore, choose: random.Random) -> None:
    store.content[choose.choice(sorted(store.content)[1:])] = bytes(BLOCK)


def put_a_block_elsewhere(store: RamStore, choose: random.Random) -> None:
    source, target = choose.sample(sorted(store.content), 2)
    store.content[target] = store.content[source]


def tear_a_block(store: RamStore, choose: random.Random) -> None:
    source, target = choose.sample(sorted(store.content), 2)
    cut = choose.randrange(1, 8) * 512
    store.content[target] = store.content[source][:cut] + store.content[target][cut:]


def truncate(store: RamStore, choose: random.Random) -> None:
    store.blocks = choose.randrange(max(store.content))
    for block in [block for block in store.content if block >= store.blocks]:
        del store.content[block]


def put_something_foreign(store: RamStore, choose: random.Random) -> None:
    store.content[0] = choose.choice([b"LUKS\xba\xbe", b"\x7fELF", b"XFSB"]) + choose.randbytes(BLOCK - 6)
    store.content[0] = store.content[0][:BLOCK].ljust(BLOCK, b"\0")


ACCIDENTS: list[Callable[[RamStore, random.Random], None]] = [
    flip_a_bit,
    overwrite_a_piece,
    zero_a_block,
    put_a_block_elsewhere,
    tear_a_block,
    truncate,
    put_something_foreign,
]


def forge(store: RamStore, choose: random.Random) -> None:
    """Change a field and write the right checksum."""
    block = choose.choice(sorted(store.content))
    content = bytearray(store.content[block])
    salt = next((salt for salt in SALTS if seal(bytearray(content), salt) == bytes(content)), NODE_SALT)
    for _ in range(choose.randint(1, 3)):
        offset = choose.choice([4, 8, 16, 20, 24, *(choose.randrange(4, BLOCK - 8) & ~3 for _ in range(5))])
        value = choose.choice(
            [0, 1, 2, 3, 252, (1 << 32) - 1, choose.randrange(1 << 32), choose.randrange(40)]
        )
        struct.pack_into("<I", content, offset, value)
    store.content[block] = seal(content, salt)


def outcome(
    store: RamStore, expected: dict[int, list[Run]], data_blocks: int, choose: random.Random, *, forged: bool
) -> DamageOutcome:
    """Use a pool on *store* and return the outcome.

    Raises AssertionError for a wrong answer, and another exception for a crash.
    """
    before = dict(store.content)
    try:
        pool = Pool(PoolFeatures(), Sectors(1), data_blocks, store)
    except (KernelError, OSError):
        assert store.content == before, "something was written"
        return DamageOutcome.REFUSED
    result = DamageOutcome.UNHARMED
    for thin_id, runs in expected.items():
        try:
            found = pool.mappings(thin_id)
        except DeviceMapperError:
            result = DamageOutcome.FAILED_REQUESTS
        else:
            assert forged or found == runs, f"thin {thin_id}"
    for request in (_write, _discard, _create, _snap, _delete, _hold):
        try:
            request(pool, choose, sorted(expected))
        except DeviceMapperError:
            result = DamageOutcome.FAILED_REQUESTS
    if pool.changed:
        try:
            pool.commit()
        except DeviceMapperError:
            result = DamageOutcome.FAILED_REQUESTS
    status = pool.status()
    if status.mode == "Fail":
        return DamageOutcome.FAILED
    if status.needs_check:
        assert status.mode == "ro"
        return DamageOutcome.READ_ONLY
    if not forged and not status.needs_check:
        _check_kept(store, expected)
    return result


def _check_kept(store: RamStore, expected: dict[int, list[Run]]) -> None:
    """Check that a commit on the damaged metadata kept the mappings of the unused devices."""
    metadata = PoolMetadata(store, 1)
    untouched = sorted(expected)[3:]
    for thin_id in untouched:
        try:
            mapped = {
                vblock: packed >> 24
                for vblock, packed in metadata.entries(thin_id)  # type: ignore[arg-type]
            }
        except (KernelError, OSError):
            continue
        wanted = {
            run.vblock + at: run.data_block + at for run in expected[thin_id] for at in range(run.length)
        }
        assert mapped == wanted, f"thin {thin_id} after a commit"


def _write(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    device = pool.open_thin(ids[0], Sectors(4000))
    offset = choose.randrange(0, 3000) * 512
    plan = device.plan_write(offset, choose.randint(1, 100) * 512)
    device.complete(plan)


def _discard(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    device = pool.open_thin(ids[1], Sectors(4000))
    device.complete(device.plan_discard(choose.randrange(0, 1000) * 512, choose.randint(1, 600) * 512))


def _create(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    send_message(pool, "create_thin 900")


def _snap(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    send_message(pool, f"create_snap 901 {choose.choice(ids)}")


def _delete(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    send_message(pool, f"delete {ids[2]}")


def _hold(pool: Pool, choose: random.Random, ids: list[int]) -> None:
    send_message(pool, choose.choice(["reserve_metadata_snap", "release_metadata_snap"]))
