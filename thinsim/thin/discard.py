"""A discard unmaps whole blocks, passes down those with no other mapping, then drops its references.

It behaves as dm-thin.c (process_discard_bio). Between the two stages the plan holds a reference to each
data block, so no write gets the block while its content is being discarded.
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
    """Unmap the blocks wholly inside a byte range; with *passes_down*, return the discards to pass down.

    Nothing happens in a read-only pool. Raises EIO when a metadata operation fails.
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
            # The kernel runs the second stage for the blocks that were unmapped before the failure.
            end_discard(transaction, plan)
            raise
        return plan
    with transaction.changing("discard"):
        # The block layer splits the range into requests of MAX_RANGE blocks; remove once per request.
        for first in range(begin - begin % MAX_RANGE, end, MAX_RANGE):
            transaction.metadata.remove_range(mappings.record, max(begin, first), min(end, first + MAX_RANGE))
    return DiscardPlan([])


def end_discard(transaction: Transaction, plan: DiscardPlan) -> None:
    """Drop the references that *plan* holds (process_prepared_discard_passdown_pt2).

    Raises EIO when the transaction was aborted since the plan was made: its references are gone. The
    pool, read-only since that abort, then fails, as in the kernel.
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
    """Unmap run by run: the first of the two stages (process_prepared_discard_passdown_pt1)."""
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
