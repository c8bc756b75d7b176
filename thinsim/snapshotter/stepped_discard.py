"""Discards in steps, each short enough that others get their turn on the pool in between.

How long a step takes depends on what is mapped and how scattered it lies, hardly on its length: a step that
took long makes the next one shorter, a quick one longer. blkdiscard(8) has steps of one length only.
"""

import time
from contextlib import closing
from pathlib import Path

import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.errors import DeviceMapperError

FIRST = 1 << 20
"""Bytes of the first step, and of the shortest."""

_QUICK = 0.01
_SLOW = 0.02


async def discard_in_steps(device: Path, longest: int) -> None:
    """Discard all of *device*, at most *longest* bytes at once.

    DeviceMapperError with the errno: EBUSY while it is in use.
    """

    def open_device() -> LinuxBlockDevice:
        return LinuxBlockDevice(device)

    try:
        with closing(await trio.to_thread.run_sync(open_device)) as opened:
            offset, step = 0, min(FIRST, longest)
            while offset < opened.size:
                length = min(step, opened.size - offset)
                begun = time.monotonic()
                await trio.to_thread.run_sync(opened.discard, offset, length)
                offset += length
                step = step_after(step, time.monotonic() - begun, longest)
    except OSError as error:
        raise DeviceMapperError(error.errno or 0, f"cannot discard {device}") from error


def step_after(step: int, seconds: float, longest: int) -> int:
    """Return the length of the step after one of *step* bytes that took *seconds*."""
    if seconds > _SLOW:
        return max(step // 2, min(FIRST, longest))
    return min(step * 2, longest) if seconds < _QUICK else step
