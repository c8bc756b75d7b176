"""Puts targets side by side from sector 0 on: a device's table (drivers/md/dm-table.c)."""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from thinsim.dm.emulator.pool.pool_objects import PoolObject
from thinsim.dm.emulator.targets.interface import Target
from thinsim.dm.emulator.targets.target_type import TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


@dataclass(frozen=True, slots=True)
class PlacedTarget:
    """A target in its table: first sector, sectors, its type's record."""

    start: int
    length: int
    type: TargetType
    target: Target

    @property
    def end(self) -> int:
        """The sector after its last."""
        return self.start + self.length

    def line(self, text: str) -> TableLine:
        """Return its line with *text* for arguments."""
        return TableLine(self.start, self.length, self.type.name, text)


class MappedTable:
    """Targets that fill [0, size) without gap. Bytes."""

    def __init__(self, placed: Sequence[PlacedTarget], source: Sequence[TableLine], read_only: bool) -> None:
        self._placed = tuple(placed)
        self.source = tuple(source)
        """The lines that it was made from."""
        self.read_only = read_only
        self.size = sum(each.length for each in self._placed) * SECTOR_SIZE

    @property
    def targets(self) -> tuple[Target, ...]:
        """In the order of the table."""
        return tuple(each.target for each in self._placed)

    @property
    def pool(self) -> PoolObject | None:
        """The pool that one of its targets shows or has its blocks from; None for none."""
        return next((target.pool for target in self.targets if target.pool is not None), None)

    @property
    def shown_pool(self) -> PoolObject | None:
        """The pool that the table's device is; None if it is none."""
        return next((each.target.pool for each in self._placed if each.type.shows_pool), None)

    @property
    def immutable_type(self) -> TargetType | None:
        """The type that no other may replace, if the table is of such a one."""
        return next((each.type for each in self._placed if each.type.immutable), None)

    def may_replace(self, immutable: TargetType) -> bool:
        """Tell whether it may follow a table of type *immutable*: it has that or a wildcard (dm-ioctl.c)."""
        return any(each.type is immutable or each.type.wildcard for each in self._placed)

    @property
    def granularity(self) -> int:
        """Of discards: the largest of the targets'; 0 if one takes none (dm_table_supports_discards)."""
        all_of = [target.granularity for target in self.targets]
        return max(all_of, default=0) if all(all_of) else 0

    @property
    def writes_zeroes(self) -> bool:
        """Whether every target takes write-zeroes requests (dm_table_supports_write_zeroes)."""
        return all(target.writes_zeroes for target in self.targets)

    @property
    def logical_block(self) -> int:
        """Bytes of the smallest request: the largest of the targets' (blk_stack_limits)."""
        return max((target.logical_block for target in self.targets), default=512)

    @property
    def optimal_io(self) -> int:
        """Bytes; the largest of the targets'."""
        return max((target.optimal_io for target in self.targets), default=0)

    def lines(self, text: Callable[[Target], str]) -> list[TableLine]:
        """Return start, length, type of each target, and what *text* says of it."""
        return [each.line(text(each.target)) for each in self._placed]

    async def status_lines(self, *, flush: bool) -> list[TableLine]:
        """Return start, length, type and status of each target."""
        return [each.line(await each.target.status(flush=flush)) for each in self._placed]

    def target_at(self, sector: int) -> Target | None:
        """Return the target that has *sector*; None outside of the table."""
        return next((each.target for each in self._placed if each.start <= sector < each.end), None)

    def pieces(self, offset: int, length: int) -> Iterator[tuple[Target, int, int, int]]:
        """Split a range by target: target, byte within it, byte within the range, length."""
        for each in self._placed:
            begin, end = each.start * SECTOR_SIZE, each.end * SECTOR_SIZE
            low, high = max(begin, offset), min(end, offset + length)
            if low < high:
                yield each.target, low - begin, low - offset, high - low

    async def check_limits(self) -> None:
        """EINVAL if a target is larger than what it stands on, or cuts a logical block in two.

        dm-table.c, dm_calculate_queue_limits and validate_hardware_logical_block_alignment.
        """
        for target in self.targets:
            await target.check_limits()
        left = 0  # sectors of a logical block of the device that the next target has to have
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
