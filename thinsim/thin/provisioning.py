"""A write provisions a data block for each unmapped block and breaks sharing (dm-thin.c, process_bio)."""

from collections.abc import Collection
from functools import partial

from thinsim.errors import DeviceMapperError
from thinsim.thin.allocation import take_block
from thinsim.thin.device_mappings import DeviceMappings
from thinsim.thin.mapping import MAX_TIME, TIME_BITS, Insert, unpack
from thinsim.thin.modes import PoolMode
from thinsim.thin.outstanding import WritePlan
from thinsim.thin.plan import PlanStep
from thinsim.thin.sharing import is_shared
from thinsim.thin.writing import block_writes, prepare_steps, write_steps


def needs_remap(mappings: DeviceMappings, offset: int, length: int) -> bool:
    """Return whether a write of *length* bytes (not 0) at *offset* provisions a block or breaks sharing."""
    time = mappings.record.snapshotted_time
    found = mappings.find(offset, length)
    for vblock in range(offset // mappings.block, (offset + length - 1) // mappings.block + 1):
        packed = found.get(vblock)
        if packed is None or is_shared(packed & MAX_TIME, time):
            return True
    return False


def breaks_sharing(mappings: DeviceMappings, offset: int, length: int) -> bool:
    """Return whether a write of *length* bytes (not 0) at *offset* replaces a shared data block."""
    time = mappings.record.snapshotted_time
    return any(is_shared(packed & MAX_TIME, time) for packed in mappings.find(offset, length).values())


def plan_write(
    mappings: DeviceMappings, offset: int, length: int, *, zero: bool, origin_bytes: int
) -> WritePlan:
    """Return the plan of a write, or of its beginning if data blocks run out.

    A mapped block that is not shared is written in place. Each other block gets a data block now, in
    ascending order: to replace the shared one (break_sharing) or as its first (provision_block). With
    *zero*, the unwritten part of a provisioned block is zeroed. *origin_bytes* is the size of the external
    origin, 0 without one. Raises Unserviceable if the first block needs a data block and gets none.
    """
    transaction, block_size, thin_id = mappings.transaction, mappings.block, mappings.record.thin_id
    time = mappings.record.snapshotted_time
    found = mappings.find(offset, length)
    first, last = offset // block_size, (offset + length - 1) // block_size
    targets: list[int] = []
    inserts: list[Insert] = []
    epoch = transaction.epoch
    for vblock in range(first, last + 1):
        packed = found.get(vblock)
        if packed is not None and not is_shared(packed & MAX_TIME, time):
            targets.append(packed >> TIME_BITS)
            continue
        transaction.remapping.check_none(thin_id, range(vblock, vblock + 1))
        try:
            block = take_block(transaction)
        except DeviceMapperError:
            if not targets or epoch != transaction.epoch:
                raise
            break
        targets.append(block)
        if packed is None and not zero and vblock * block_size >= origin_bytes:
            # The block needs no preparation, so the kernel maps it before it writes data (schedule_zero).
            mappings.insert([(vblock, block)])
        else:
            inserts.append(Insert(vblock, block, None if packed is None else unpack(packed)[0]))
    length = min(length, (first + len(targets)) * block_size - offset)
    steps: list[PlanStep] = []
    if inserts:
        transaction.remapping.begin(thin_id, (insert.vblock for insert in inserts))
        steps += prepare_steps(inserts, offset, length, block_size, zero=zero, origin_bytes=origin_bytes)
    steps += write_steps(targets, offset, length, block_size)
    parts = partial(
        block_writes, targets, inserts, offset, length, block_size, zero=zero, origin_bytes=origin_bytes
    )
    return WritePlan(steps, length, inserts, parts, epoch=epoch)


def end_write(mappings: DeviceMappings, plan: WritePlan, written: Collection[Insert]) -> bool:
    """Map the inserts of *plan* that were *written*; return False if the pool can no longer map any.

    The plan's other data blocks stay allocated until a repair of the metadata frees them, as in the
    kernel. If the plan's transaction was aborted, its data blocks are already free.
    """
    plan.close()
    if not plan.remaps:
        return True
    transaction = mappings.transaction
    transaction.remapping.end(mappings.record.thin_id, (insert.vblock for insert in plan.inserts))
    is_lost = plan.epoch != transaction.epoch
    can_map = not is_lost and transaction.mode <= PoolMode.OUT_OF_DATA_SPACE
    landed = written if can_map else ()
    leaked = [insert.data_block for insert in plan.inserts if insert not in landed]
    if not is_lost:
        transaction.in_flight.remove(leaked)
    if landed:
        mappings.insert([(insert.vblock, insert.data_block) for insert in landed])
    return can_map
