"""Requests that change mappings, carried out: plan, execute, complete. Blocking; runs on a worker thread."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from thinsim.block.interface import BlockDevice
from thinsim.dm.executor import Readable, execute
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.space_errors import OutOfDataSpace, Unserviceable


@dataclass(slots=True)
class Outcome:
    """What of a write was not written: pieces that wait for space, and the first error."""

    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    failed: DeviceMapperError | None = None


def write(
    device: ThinDevice, offset: int, data: bytes, below: BlockDevice, origin: Readable | None
) -> Outcome:
    """Provision, break sharing and write; where space is short block by block (process_bio).

    *below* is the pool's data device, *origin* the external origin. EIO when a device fails.
    """
    outcome = Outcome()
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
        except BaseException as error:
            device.abandon(plan)
            if isinstance(error, OSError):
                raise io_error(error) from error
            raise
        device.complete(plan)
        offset, data = offset + plan.length, data[plan.length :]
    return outcome


def discard(
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


def io_error(error: OSError) -> DeviceMapperError:
    """Return what a bio ends with when the data device fails."""
    return DeviceMapperError(error.errno or errno.EIO, f"data device: {error.strerror or error}")
