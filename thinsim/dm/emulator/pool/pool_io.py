"""`write_thin` and `discard_thin` carry out requests that change mappings: plan, execute, complete.

They block, so they run on a worker thread.
"""

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
    """A `WriteOutcome` lists the pieces of a write that wait for space, and has the first error."""

    waiting: list[tuple[int, bytes | memoryview]] = field(default_factory=list)
    failed: DeviceMapperError | None = None


def write_thin(
    device: ThinDevice,
    offset: int,
    data: bytes | memoryview,
    below: BlockDevice,
    origin: CopySource | None,
    commit: Callable[[], None],
    ended: Callable[[], object] | None = None,
) -> WriteOutcome:
    """Provision, break sharing and write; block by block if space is short (process_bio).

    *below* is the pool's data device, *origin* the external origin. An error of a device does not stop the
    other blocks. *ended* is called when one plan has written all of *data*. *commit* comes last.
    """
    outcome = WriteOutcome()
    size = len(data)
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
            if ended is not None and plan.length == size:
                ended()
        offset, data = offset + plan.length, data[plan.length :]
    commit()
    return outcome


def discard_thin(
    device: ThinDevice, offset: int, length: int, below: BlockDevice, commit: Callable[[], None]
) -> None:
    """Unmap and pass down, in two stages around the execution (dm-thin.c, passdown_pt1, _pt2).

    *commit* comes after either stage, and commits where it is due. Blocks that the second stage frees after
    that wait for the commit that the next change of a device brings: the kernel's clock alone brings none.
    """
    plan = device.plan_discard(offset, length)
    try:
        if plan.steps:
            commit()
        execute(plan.steps, below)
    finally:
        device.complete(plan)
    commit()


def _written(
    plan: WritePlan, below: BlockDevice, data: bytes | memoryview, origin: CopySource | None
) -> list[Insert]:
    """Carry out *plan* again block by block after a step failed; return the mappings of the written blocks.

    In the kernel each block is a bio of its own. An error that does not come again can't be assigned to a
    block.
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
    """Return the error of a bio whose data device failed."""
    return DeviceMapperError(error.errno or errno.EIO, f"data device: {error.strerror or error}")
