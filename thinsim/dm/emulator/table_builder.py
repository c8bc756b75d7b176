"""A `TableBuilder` builds a device's table from its lines (drivers/md/dm-table.c, dm_table_add_target)."""

import errno
from collections.abc import Sequence

from thinsim.dm.emulator.table import MappedTable, PlacedTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError


class TableBuilder:
    """A `TableBuilder` builds tables of targets of *types*, which use *services*."""

    def __init__(self, types: Sequence[TargetType], services: TargetServices) -> None:
        self._types = {each.name: each for each in types}
        self._services = services

    async def build(self, owner: TableOwner, lines: Sequence[TableLine], *, read_only: bool) -> MappedTable:
        """Return the table of device *owner*. Its errors come in the order of dm_table_add_target."""
        if not lines:
            raise DeviceMapperError(errno.EINVAL, "populate_table: no targets specified")
        placed: list[PlacedTarget] = []
        try:
            for line in lines:
                kind = self._check(line, placed, len(lines), read_only=read_only)
                target = await kind.build(line, owner, self._services)
                placed.append(PlacedTarget(line.start, line.length, kind, target))
        except BaseException:
            for each in placed:
                await each.target.close()
            raise
        return MappedTable(placed, lines, read_only)

    def _check(
        self, line: TableLine, before: Sequence[PlacedTarget], count: int, *, read_only: bool
    ) -> TargetType:
        if any(each.type.singleton for each in before):
            raise _refused(before[0].type.name, "target type must appear alone in table")
        if not line.length:
            raise _refused(line.kind, "zero-length target")
        kind = self._types.get(line.kind)
        if kind is None:
            known = ", ".join(sorted(self._types))
            text = f"unknown target type {line.kind!r} (known types: {known})"
            raise DeviceMapperError(errno.EINVAL, text)
        if kind.singleton and count > 1:
            raise _refused(kind.name, "target type must appear alone in table")
        if kind.always_writable and read_only:
            raise _refused(kind.name, "target type may not be included in a read-only table")
        end = before[-1].end if before else 0
        if line.start != end:
            raise _refused(kind.name, f"Gap in table: sector {line.start}, not {end}")
        return kind


def _refused(kind: str, why: str) -> DeviceMapperError:
    return DeviceMapperError(errno.EINVAL, f"{kind}: {why}")
