"""A discard unmaps whole blocks, passes down those that nobody else maps, then drops their references.

Behaviour of dm-thin.c (process_discard_bio). In between the data blocks keep a reference, so that nobody
gets them while the discard of their content is under way.
"""

import errno
import logging

from thinsim.errors import DeviceMapperError
from thinsim.thin.device_mappings import DeviceMappings
from thinsim.thin.mapping import Run
from thinsim.thin.modes import PoolMode
from thinsim.thin.outstanding import DiscardPlan
from thinsim.thin.passdown import MAX_RANGE, cut, requests, unreferenced, whole_blocks
from thinsim.thin.plan import PassDown
from thinsim.thin.transaction import Transaction

log = logging.getLogger(__name__)


def plan_discard(mappings: DeviceMappings, offset: int, length: int, *, passes_down: bool) -> DiscardPlan:
    """Unmap the blocks wholly inside a byte range; return what to pass down, nothing unless *passes_down*.

    Nothing happens in a read-only pool. EIO when the metadata fails.
    """
    transaction, thin_id = mappings.transaction, mappings.record.thin_id
    begin, end = whole_blocks(offset, length, mappings.block)
    if transaction.mode > PoolMode.OUT_OF_DATA_SPACE or begin == end:
        return DiscardPlan([])
    transaction.remapping.check_none(thin_id, range(begin, end))
    if passes_down:
        mapped = mappings.runs(begin, end)
        plan = DiscardPlan([], epoch=transaction.epoch)
        try:
            with transaction.changing("discard"):
                _unmap_and_hold(mappings, plan, mapped)
        except DeviceMapperError:
            # What was unmapped before the failure comes to its second stage all the same.
            end_discard(transaction, plan)
            raise
        return plan
    with transaction.changing("discard"):
        # One removal for each request that the block layer makes of the range.
        for first in range(begin - begin % MAX_RANGE, end, MAX_RANGE):
            transaction.metadata.remove_range(mappings.record, max(begin, first), min(end, first + MAX_RANGE))
    return DiscardPlan([])


def end_discard(transaction: Transaction, plan: DiscardPlan) -> None:
    """Drop the references that *plan* held (process_prepared_discard_passdown_pt2).

    When their transaction was aborted meanwhile that can't be done: EIO, and as in the kernel the pool,
    read-only by then, fails.
    """
    plan.close()
    if not plan.held:
        return
    if plan.epoch != transaction.epoch:
        log.error("metadata operation end of a discard failed: its transaction was aborted")
        transaction.abort()
        raise DeviceMapperError(errno.EIO, "the discard's transaction was aborted")
    with transaction.changing("end of a discard"):
        for begin, end in plan.held:
            transaction.in_flight.remove(range(begin, end))
            transaction.metadata.decrement(begin, end)


def _unmap_and_hold(mappings: DeviceMappings, plan: DiscardPlan, mapped: list[Run]) -> None:
    """Unmap run by run, the first stage of two (process_prepared_discard_passdown_pt1)."""
    transaction, metadata = mappings.transaction, mappings.transaction.metadata
    passed: list[tuple[int, int]] = []
    for run in cut(mapped, mappings.record.snapshotted_time):
        metadata.remove_range(mappings.record, run.vblock, run.vblock + run.length)
        data_end = run.data_block + run.length
        metadata.increment(run.data_block, data_end)
        transaction.in_flight.add(range(run.data_block, data_end))
        plan.held.append((run.data_block, data_end))
        passed += unreferenced(run, lambda block: metadata.data.count(block) == 1)
    plan.steps += [
        PassDown(first * mappings.block, count * mappings.block) for first, count in requests(passed)
    ]
