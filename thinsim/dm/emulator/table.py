"""A device's table: targets side by side from sector 0 on (drivers/md/dm-table.c)."""

import errno
from collections.abc import Awaitable, Callable, Iterator, Sequence

from thinsim.dm.activity import ActivityLog
from thinsim.dm.emulator.lower.lower_devices import LowerDevices
from thinsim.dm.emulator.pool.pool_objects import PoolObjects
from thinsim.dm.emulator.targets import error, linear, striped, thin, thin_pool
from thinsim.dm.emulator.targets.interface import Target
from thinsim.dm.text import TableLine
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import DeviceMapperError
from thinsim.thin.words import split_words
from thinsim.units import SECTOR_SIZE

TARGET_VERSIONS: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("zero", (1, 1, 0)),
    ("thin-pool", (1, 22, 0)),
    ("thin", (1, 22, 0)),
    ("striped", (1, 6, 0)),
    ("linear", (1, 4, 0)),
    ("error", (1, 5, 0)),
)
"""The target types served, the last registered first, with the versions of Linux 6.1."""

_BUILDERS: dict[str, Callable[[int, Sequence[str], LowerDevices], Awaitable[Target]]] = {
    "linear": linear.build,
    "striped": striped.build,
    "error": error.build_error,
    "zero": error.build_zero,
}
_SINGLETONS = frozenset({"thin-pool"})
_ALWAYS_WRITABLE = frozenset({"thin-pool"})
_IMMUTABLE = frozenset({"thin-pool"})
_WILDCARDS = frozenset({"error"})


class MappedTable:
    """Targets that fill [0, size) without gap. Bytes."""

    def __init__(
        self, targets: Sequence[tuple[int, int, Target]], source: Sequence[TableLine], read_only: bool
    ) -> None:
        self._targets = tuple(targets)
        self.source = tuple(source)
        """The lines that it was made from."""
        self.read_only = read_only
        self.size = sum(length for _, length, _ in self._targets) * SECTOR_SIZE

    @property
    def targets(self) -> tuple[Target, ...]:
        """In the order of the table."""
        return tuple(target for _, _, target in self._targets)

    @property
    def immutable_kind(self) -> str | None:
        """The type that no other may replace, if the table is of such a one."""
        return next((target.kind for target in self.targets if target.kind in _IMMUTABLE), None)

    def may_replace(self, immutable_kind: str) -> bool:
        """Tell whether it may follow a table of a type that no other may replace: errors may (dm-ioctl.c)."""
        kinds = {target.kind for target in self.targets}
        return immutable_kind in kinds or bool(kinds & _WILDCARDS)

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
        return [TableLine(start, length, each.kind, text(each)) for start, length, each in self._targets]

    async def status_lines(self, *, flush: bool) -> list[TableLine]:
        """Return start, length, type and status of each target."""
        return [
            TableLine(start, length, each.kind, await each.status(flush=flush))
            for start, length, each in self._targets
        ]

    def target_at(self, sector: int) -> Target | None:
        """Return the target that has *sector*; None outside of the table."""
        return next((each for start, length, each in self._targets if start <= sector < start + length), None)

    def pieces(self, offset: int, length: int) -> Iterator[tuple[Target, int, int, int]]:
        """Split a range by target: target, byte within it, byte within the range, length."""
        for start, sectors, target in self._targets:
            begin, end = start * SECTOR_SIZE, (start + sectors) * SECTOR_SIZE
            low, high = max(begin, offset), min(end, offset + length)
            if low < high:
                yield target, low - begin, low - offset, high - low

    async def check_limits(self) -> None:
        """EINVAL if a target is larger than what it stands on, or cuts a logical block in two.

        dm-table.c, dm_calculate_queue_limits and validate_hardware_logical_block_alignment.
        """
        for target in self.targets:
            await target.check_limits()
        left = 0  # sectors of a logical block of the device that the next target has to have
        for start, length, target in self._targets:
            if left < length and left * SECTOR_SIZE % target.logical_block:
                break
            left = -(start + length) % (self.logical_block // SECTOR_SIZE)
        if left:
            raise DeviceMapperError(
                errno.EINVAL,
                f"table line ({start} {length} {target.kind}) not aligned to h/w logical block size "
                f"{self.logical_block}",
            )

    async def close(self) -> None:
        """Close every target."""
        for target in self.targets:
            await target.close()


class TableBuilder:
    """Makes tables from their lines."""

    def __init__(
        self, lower: LowerDevices, pools: PoolObjects, trace: WriteTrace, activity: ActivityLog
    ) -> None:
        self._lower = lower
        self._pools = pools
        self._trace = trace
        self._activity = activity

    async def build(
        self, name: str, owner: object, lines: Sequence[TableLine], *, read_only: bool
    ) -> MappedTable:
        """Return the table of device *owner*; errors in the order of dm_table_add_target."""
        if not lines:
            raise DeviceMapperError(errno.EINVAL, "populate_table: no targets specified")
        targets: list[tuple[int, int, Target]] = []
        try:
            for line in lines:
                end = targets[-1][0] + targets[-1][1] if targets else 0
                _check(line, [target.kind for _, _, target in targets], end, len(lines), read_only)
                target = await self._build_one(name, owner, line)
                targets.append((line.start, line.length, target))
        except BaseException:
            for _, _, target in targets:
                await target.close()
            raise
        return MappedTable(targets, lines, read_only)

    async def _build_one(self, name: str, owner: object, line: TableLine) -> Target:
        if line.kind in ("thin", "thin-pool"):
            text = f"0 {line.length} {line.kind} {line.arguments}"
            if line.kind == "thin":
                return await thin.build(name, text, self._lower, self._pools, self._trace, self._activity)
            return await thin_pool.build(text, owner, self._lower, self._pools)
        words = split_words(line.arguments)
        return await _BUILDERS[line.kind](line.length * SECTOR_SIZE, words, self._lower)


def _check(line: TableLine, before: Sequence[str], end: int, count: int, read_only: bool) -> None:
    if any(kind in _SINGLETONS for kind in before):
        raise DeviceMapperError(errno.EINVAL, f"{before[0]}: target type must appear alone in table")
    if not line.length:
        raise DeviceMapperError(errno.EINVAL, f"{line.kind}: zero-length target")
    if line.kind not in dict(TARGET_VERSIONS):
        served = ", ".join(sorted(kind for kind, _ in TARGET_VERSIONS))
        raise DeviceMapperError(errno.EINVAL, f"unknown target type {line.kind!r} (served here: {served})")
    if line.kind in _SINGLETONS and count > 1:
        raise DeviceMapperError(errno.EINVAL, f"{line.kind}: target type must appear alone in table")
    if line.kind in _ALWAYS_WRITABLE and read_only:
        raise DeviceMapperError(
            errno.EINVAL, f"{line.kind}: target type may not be included in a read-only table"
        )
    if line.start != end:
        raise DeviceMapperError(errno.EINVAL, f"{line.kind}: Gap in table: sector {line.start}, not {end}")
