"""An `OriginCopy` reads the external origin of a thin device while nothing of the pool is held.

The origin may be a mapped device of ours, even a thin device of the same pool: its reads pass the same gate
and lock.
"""

import errno
from collections.abc import Sequence

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.errors import DeviceMapperError
from thinsim.thin.plan import ReadOrigin, ReadStep, ReadZeros


class OriginCopy:
    """An `OriginCopy` keeps the pieces of an origin that a write may copy; ``read`` returns parts of them."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytes]] = []
        self._failed: DeviceMapperError | None = None

    async def fetch(self, origin: LowerDevice, ranges: Sequence[tuple[int, int]]) -> "OriginCopy":
        """Read *ranges* (offset, length). A failure is raised later, by a ``read`` of the missing piece."""
        for offset, length in ranges:
            try:
                self._pieces.append((offset, await _read(origin, offset, length)))
            except DeviceMapperError as error:
                self._failed = error
        return self

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*, within one of the pieces; ``OSError`` as from the origin."""
        for start, content in self._pieces:
            if start <= offset and offset + length <= start + len(content):
                return content[offset - start : offset - start + length]
        if self._failed is not None:
            raise OSError(self._failed.errno, str(self._failed))
        raise AssertionError(f"{length} bytes at {offset} of the origin were not fetched")


def without_origin(steps: Sequence[ReadStep]) -> list[ReadStep]:
    """Return *steps* with zeros in place of the ranges that :func:`fill_in` fills."""
    return [ReadZeros(step.length) if isinstance(step, ReadOrigin) else step for step in steps]


async def fill_in(answer: bytes, steps: Sequence[ReadStep], origin: LowerDevice | None) -> bytes:
    """Return *answer* to *steps* with the origin's bytes filled in; EIO past the origin's end."""
    pieces, position = [], 0
    for step in steps:
        if isinstance(step, ReadOrigin):
            assert origin is not None, "the plan reads an external origin, but the device has none"
            pieces.append(await _read(origin, step.origin_offset, step.length))
        else:
            pieces.append(answer[position : position + step.length])
        position += step.length
    return b"".join(pieces)


async def _read(origin: LowerDevice, offset: int, length: int) -> bytes:
    content = await origin.read(offset, length)
    if len(content) != length:
        raise DeviceMapperError(errno.EIO, f"the origin ends before byte {offset + length}")
    return content
