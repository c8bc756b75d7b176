"""Carries out requests that change mappings: plan, execute, complete. Blocking; runs on a worker thread."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.pool.executor import CopySource, execute
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.mapping import Insert
from thinsim.thin.outstanding import WritePlan
from thinsim.thin.space_errors import OutOfDataSpace, Unserviceable


@dataclass(slots=True)
class WriteOutcome:
    """What of a write was not written: pieces that wait for space, and the first error."""

    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    failed: DeviceMapperError | None = None


def write_thin(
    device: ThinDevice, offset: int, data: bytes, below: BlockDevice, origin: CopySource | None
) -> WriteOutcome:
    """Provision, break sharing and write; where space is short block by block (process_bio).

    *below* is the pool's data device, *origin* the external origin. Where a device fails, too, the other
    blocks are written.
    """
    outcome = WriteOutcome()
    while data:
        try:
            plan = device.plan_write(offset, len(data))
        except Unserviceable as error:
            length = device.block - offset % device.block
            if isinstance(error, OutOfDataSpace):
                outcome.waiting.append((offset, data[:length]))
            else:
                outcome.failed = outcome.failed or error
            offset, data = offset + length, data[length:]
            continue
        try:
            execute(plan.steps, below, data[: plan.length], origin)
        except OSError as error:
            device.abandon(plan, _written(plan, below, data, origin))
            outcome.failed = outcome.failed or io_error(error)
        except BaseException:
            device.abandon(plan)
            raise
        else:
            device.complete(plan)
        offset, data = offset + plan.length, data[plan.length :]
    return outcome


def discard_thin(
    device: ThinDevice, offset: int, length: int, below: BlockDevice, commit: Callable[[], None]
) -> None:
    """Unmap and pass down; the two stages stand around the execution (dm-thin.c, passdown_pt1, _pt2).

    *commit* comes after the first stage. What the second frees then waits for another commit, and the
    next change of a device brings it: the kernel's clock alone does not.
    """
    plan = device.plan_discard(offset, length)
    try:
        if plan.steps:
            commit()
        execute(plan.steps, below)
    finally:
        device.complete(plan)


def _written(plan: WritePlan, below: BlockDevice, data: bytes, origin: CopySource | None) -> list[Insert]:
    """Carry out *plan*, of which a step failed, block by block; return the mappings of what was written.

    In the kernel each block is a bio of its own. An error that does not come again can't be told to a block.
    """
    parts = list(plan.parts())
    if len(parts) < 2:
        return []
    written, failed = [], False
    for begin, length, steps, insert in parts:
        try:
            execute(steps, below, data[begin : begin + length], origin)
        except OSError:
            failed = True
        else:
            written += [insert] if insert is not None else []
    return written if failed else []


def io_error(error: OSError) -> DeviceMapperError:
    """Return what a bio ends with when the data device fails."""
    return DeviceMapperError(error.errno or errno.EIO, f"data device: {error.strerror or error}")
