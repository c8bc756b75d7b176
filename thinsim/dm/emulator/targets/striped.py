"""The striped target maps chunks in turn to several devices (drivers/md/dm-stripe.c)."""

import errno
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from typing import TypeVar

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.targets.area import check_area, parse_sector
from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.thin.words import split_words
from thinsim.units import SECTOR_SIZE

_Answer = TypeVar("_Answer")

_UINT_MAX = (1 << 32) - 1
_FAILURES_REPORTED = 14  # DM_IO_ERROR_THRESHOLD less one


class StripedTarget(PlainTarget):
    """A `StripedTarget` is a ``striped <stripes> <chunk sectors> (<device> <start sector>)+`` segment."""

    kind = "striped"

    def __init__(self, length: int, chunk: int, stripes: Sequence[tuple[LowerDevice, int]]) -> None:
        super().__init__(length, tuple(device for device, _ in stripes))
        self._chunk = chunk
        self._stripes = tuple(stripes)
        self._errors: Counter[tuple[int, int]] = Counter()
        """The number of failed requests, by the number of the device."""

    async def status(self, *, flush: bool) -> str:
        """Return the devices and a letter for each: A for alive, D after a failed request (stripe_status)."""
        devices = " ".join(device.text for device, _ in self._stripes)
        health = "".join("D" if self._errors[device.number] else "A" for device, _ in self._stripes)
        return f"{len(self._stripes)} {devices} 1 {health}"

    @property
    def events(self) -> int:
        """Return the number of events, one for each of the first failures on a device (stripe_end_io)."""
        return sum(min(count, _FAILURES_REPORTED) for count in self._errors.values())

    def table(self) -> str:
        places = " ".join(f"{device.text} {start}" for device, start in self._stripes)
        return f"{len(self._stripes)} {self._chunk} {places}"

    async def read(self, offset: int, length: int) -> bytes:
        pieces = [
            await self._send(device, device.read(place, size))
            for device, place, _, size in self._pieces(offset, length)
        ]
        return b"".join(pieces)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        for device, place, within, size in self._pieces(offset, len(data)):
            await self._send(device, device.write(place, data[within : within + size]))

    async def discard(self, offset: int, length: int) -> None:
        """Discard one range per stripe: a discard is split by device, not by chunk (stripe_map_range)."""
        for device, start, size in self._spans(offset, length):
            await self._send(device, device.discard(start, size))

    async def punch(self, offset: int, length: int) -> None:
        """Punch one range per stripe."""
        for device, start, size in self._spans(offset, length):
            await self._send(device, device.punch(start, size))

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros, one range per stripe: the request is split as a discard is (stripe_map)."""
        for device, start, size in self._spans(offset, length):
            await self._send(device, device.zero(start, size))

    async def _send(self, device: LowerDevice, request: Awaitable[_Answer]) -> _Answer:
        try:
            return await request
        except DeviceMapperError as error:
            if error.errno != errno.EOPNOTSUPP:
                self._errors[device.number] += 1
            raise

    @property
    def writes_zeroes(self) -> bool:
        """Return whether every device takes them (stripe_ctr; dm-table.c, dm_table_supports_write_zeroes)."""
        return all(device.writes_zeroes for device, _ in self._stripes)

    def _spans(self, offset: int, length: int) -> list[tuple[LowerDevice, int, int]]:
        """Return device, byte on it and length for each stripe that has a part of the range."""
        spans: dict[int, tuple[LowerDevice, int, int]] = {}
        for device, place, _, size in self._pieces(offset, length):
            stripe = self._stripe_of(device, place)
            _, start, _ = spans.get(stripe, (device, place, 0))
            spans[stripe] = (device, start, place + size)
        return [(device, start, end - start) for device, start, end in spans.values()]

    def _stripe_of(self, device: LowerDevice, place: int) -> int:
        # Two stripes may be on one device: the range decides between them.
        width = self._length // len(self._stripes)
        for index, (candidate, start) in enumerate(self._stripes):
            if candidate is device and start * SECTOR_SIZE <= place < start * SECTOR_SIZE + width:
                return index
        raise AssertionError("a piece is not on any stripe")

    @property
    def optimal_io(self) -> int:
        """Return the bytes of one chunk of each stripe (stripe_io_hints)."""
        return self._chunk * SECTOR_SIZE * len(self._stripes)

    async def check_limits(self) -> None:
        for device, start in self._stripes:
            check_area(device, start, self._length // len(self._stripes))

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[LowerDevice, int, int, int]]:
        """Yield device, byte on it, byte within the request, length."""
        chunk = self._chunk * SECTOR_SIZE
        done = 0
        while done < length:
            number, within = divmod(offset + done, chunk)
            row, stripe = divmod(number, len(self._stripes))
            size = min(chunk - within, length - done)
            device, start = self._stripes[stripe]
            yield device, start * SECTOR_SIZE + row * chunk + within, done, size
            done += size


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> StripedTarget:
    """Build the target; its errors come in the order of stripe_ctr."""
    arguments = split_words(line.arguments)
    if len(arguments) < 2:
        raise _invalid("Not enough arguments")
    stripes = _number(arguments[0], "Invalid stripe count")
    chunk = _number(arguments[1], "Invalid chunk_size")
    if line.length % stripes:
        raise _invalid("Target length not divisible by number of stripes")
    if line.length // stripes % chunk:
        raise _invalid("Target length not divisible by chunk size")
    if len(arguments) != 2 + 2 * stripes:
        raise _invalid("Not enough destinations specified")
    opened: list[tuple[LowerDevice, int]] = []
    try:
        for word, place in zip(arguments[2::2], arguments[3::2], strict=True):
            start = parse_sector(place, "striped: Couldn't parse stripe destination")
            opened.append(
                (await services.lower.open(word, "striped: Couldn't parse stripe destination"), start)
            )
    except BaseException:
        for device, _ in opened:
            await device.close()
        raise
    return StripedTarget(line.length * SECTOR_SIZE, chunk, opened)


def _number(word: str, complaint: str) -> int:
    number = parse_sector(word, f"striped: {complaint}")
    if not 0 < number <= _UINT_MAX:
        raise _invalid(complaint)
    return number


def _invalid(complaint: str) -> DeviceMapperError:
    return DeviceMapperError(errno.EINVAL, f"striped: {complaint}")


STRIPED = TargetType(StripedTarget, (1, 6, 0), _build)
