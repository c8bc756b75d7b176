"""A `MappedTable` puts targets side by side from sector 0 on (drivers/md/dm-table.c)."""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from thinsim.dm.emulator.pool.plane import DeviceBypass
from thinsim.dm.emulator.pool.pool_objects import PoolObject
from thinsim.dm.emulator.targets.interface import Target
from thinsim.dm.emulator.targets.target_type import TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


@dataclass(frozen=True, slots=True)
class PlacedTarget:
    """A `PlacedTarget` is a target in its table: *start* and *length* in sectors, and its type's record."""

    start: int
    length: int
    type: TargetType
    target: Target

    @property
    def end(self) -> int:
        """Return the sector after the last one of the target."""
        return self.start + self.length

    def line(self, text: str) -> TableLine:
        """Return the target's line with *text* as arguments."""
        return TableLine(self.start, self.length, self.type.name, text)


class MappedTable:
    """A `MappedTable` has targets that fill [0, size) without gaps. Sizes and offsets are in bytes."""

    def __init__(self, placed: Sequence[PlacedTarget], source: Sequence[TableLine], read_only: bool) -> None:
        self._placed = tuple(placed)
        self.source = tuple(source)
        """The lines that the table was built from."""
        self.read_only = read_only
        self.size = sum(each.length for each in self._placed) * SECTOR_SIZE

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return the targets in the order of the table."""
        return tuple(each.target for each in self._placed)

    @property
    def pool(self) -> PoolObject | None:
        """Return the pool that a target shows or takes its blocks from, or None."""
        return next((target.pool for target in self.targets if target.pool is not None), None)

    @property
    def shown_pool(self) -> PoolObject | None:
        """Return the pool whose own device has this table, or None."""
        return next((each.target.pool for each in self._placed if each.type.shows_pool), None)

    @property
    def immutable_type(self) -> TargetType | None:
        """Return the table's type that no other may replace, or None."""
        return next((each.type for each in self._placed if each.type.immutable), None)

    def may_replace(self, immutable: TargetType) -> bool:
        """Return whether the table may follow one of type *immutable* (dm-ioctl.c).

        It needs a target of that type, or a wildcard.
        """
        return any(each.type is immutable or each.type.wildcard for each in self._placed)

    @property
    def granularity(self) -> int:
        """Return the discard granularity, the largest of the targets' (dm_table_supports_discards).

        It is in bytes; 0 if a target takes no discards.
        """
        all_of = [target.granularity for target in self.targets]
        return max(all_of, default=0) if all(all_of) else 0

    @property
    def writes_zeroes(self) -> bool:
        """Return whether every target takes write-zeroes requests (dm_table_supports_write_zeroes)."""
        return all(target.writes_zeroes for target in self.targets)

    @property
    def logical_block(self) -> int:
        """Return the bytes of the smallest request: the largest of the targets' (blk_stack_limits)."""
        return max((target.logical_block for target in self.targets), default=512)

    @property
    def optimal_io(self) -> int:
        """Return the optimal request size in bytes: the largest of the targets'."""
        return max((target.optimal_io for target in self.targets), default=0)

    def aim(self, bypass: DeviceBypass) -> None:
        """Let the requests of a device with this table alone bypass Python, if one target allows that."""
        if len(self._placed) == 1:
            self._placed[0].target.aim(bypass, read_only=self.read_only)

    def lines(self, text: Callable[[Target], str]) -> list[TableLine]:
        """Return start, length and type of each target, with the arguments that *text* returns."""
        return [each.line(text(each.target)) for each in self._placed]

    async def status_lines(self, *, flush: bool) -> list[TableLine]:
        """Return start, length, type and status of each target."""
        return [each.line(await each.target.status(flush=flush)) for each in self._placed]

    def target_at(self, sector: int) -> Target | None:
        """Return the target at *sector*, or None outside the table."""
        return next((each.target for each in self._placed if each.start <= sector < each.end), None)

    def pieces(self, offset: int, length: int) -> Iterator[tuple[Target, int, int, int]]:
        """Split a range by target: target, byte in the target, byte in the range, length."""
        for each in self._placed:
            begin, end = each.start * SECTOR_SIZE, each.end * SECTOR_SIZE
            low, high = max(begin, offset), min(end, offset + length)
            if low < high:
                yield each.target, low - begin, low - offset, high - low

    async def check_limits(self) -> None:
        """Raise EINVAL if a target is larger than its devices, or cuts a logical block in two.

        Source: dm-table.c, dm_calculate_queue_limits and validate_hardware_logical_block_alignment.
        """
        for target in self.targets:
            await target.check_limits()
        left = 0  # sectors that the next target must have, to complete a logical block of the device
        for each in self._placed:
            if left < each.length and left * SECTOR_SIZE % each.target.logical_block:
                break
            left = -each.end % (self.logical_block // SECTOR_SIZE)
        if left:
            raise DeviceMapperError(
                errno.EINVAL,
                f"table line ({each.start} {each.length} {each.type.name}) not aligned to h/w logical block "
                f"size {self.logical_block}",
            )

    async def close(self) -> None:
        """Close every target."""
        for target in self.targets:
            await target.close()
