"""`following` reads device-mapper's lines in the kernel's log, the only place with the reason of a refusal.

Source: Documentation/ABI/testing/dev-kmsg (each read returns one record:
``priority,sequence,microseconds,flags;text``).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_DEVICE = Path("/dev/kmsg")
_LONGEST_RECORD = 8192
_PREFIX = "device-mapper: "


@contextmanager
def following(device: Path = _DEVICE) -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns device-mapper's lines since the block began, without their prefix.

    If the log is not readable, it returns no lines.
    """
    try:
        fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield list
        return
    try:
        os.lseek(fd, 0, os.SEEK_END)
        yield lambda: list(_lines(fd))
    finally:
        os.close(fd)


def _lines(fd: int) -> Iterator[str]:
    while True:
        try:
            record = os.read(fd, _LONGEST_RECORD)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue  # the record was overwritten; the next read returns the oldest record left
        if not record:
            return
        text = record.decode(errors="replace").partition(";")[2].splitlines()
        if text and text[0].startswith(_PREFIX):
            yield text[0].removeprefix(_PREFIX)
