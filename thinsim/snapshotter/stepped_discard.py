"""`discard_in_steps` discards a device in short steps, and lets other I/O use the pool in between.

The duration of a step depends more on the number and scatter of its mappings than on its length. So a slow
step makes the next one shorter and a quick step makes it longer. The steps of blkdiscard(8) have one length.
"""

import time
from contextlib import closing
from pathlib import Path

import trio

from thinsim.block.linux import LinuxBlockDevice
from thinsim.errors import DeviceMapperError

FIRST = 1 << 20
"""The length of the first step in bytes; no later step is shorter, except the last."""

_QUICK = 0.01
_SLOW = 0.02


async def discard_in_steps(device: Path, longest: int) -> None:
    """Discard all of *device*, at most *longest* bytes at once.

    Raise DeviceMapperError with the errno, which is EBUSY while the device is in use.
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
