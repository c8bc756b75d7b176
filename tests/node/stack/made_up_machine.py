"""A `MadeUpMachine` has devices in a sysfs of a test's own, with the files that a walk reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuse_backing.mounts import MountEntry
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.text import parse_lines
from thinsim.node.stack.block_view import BlockView
from thinsim.node.stack.height import StackHeight
from thinsim.node.stack.mapped_tables import LiveTable
from thinsim.node.stack.places import DevicePlace, Machine, MountPlace
from thinsim.node.stack.walking import stack_below

GIB = 1 << 30
_SILENT = EmulatedDeviceMapper(Path("/nonexistent"))


@dataclass
class MadeUpMachine:
    """A `MadeUpMachine` has the sysfs folder *sys*, tables by device, and mounts."""

    sys: Path
    tables: dict[str, str] = field(default_factory=dict)
    mounts: list[MountEntry] = field(default_factory=list)

    async def table_of(self, device: BlockView) -> LiveTable | None:
        text = self.tables.get(device.number)
        if text is None:
            return None
        lines = tuple(parse_lines(text))
        return LiveTable(_SILENT, device.mapper_name, device.mapper_uuid, lines)

    def add(self, number: str, name: str, *, on: str = "", granularity: int = 4096, most: int = GIB) -> Path:
        """Add a device of 1 GiB; *on* is the name of the disk of which it is a partition."""
        folder = self.sys / "devices" / on / name
        (folder / "slaves").mkdir(parents=True)
        for attribute, text in (("size", GIB // 512), ("ro", 0), ("dev", number), ("discard_alignment", 0)):
            (folder / attribute).write_text(f"{text}\n")
        if on:
            (folder / "partition").write_text("1\n")
            (folder / "start").write_text("2048\n")
        else:
            (folder / "queue").mkdir()
            for attribute, size in (("granularity", granularity), ("max_bytes", most), ("max_hw_bytes", GIB)):
                (folder / "queue" / f"discard_{attribute}").write_text(f"{size}\n")
        link = self.sys / "dev" / "block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        return folder

    def add_mapped(self, number: str, name: str, table: str, *, uuid: str = "", most: int = GIB) -> Path:
        folder = self.add(number, f"dm-{number.split(':')[1]}", most=most)
        (folder / "dm").mkdir()
        (folder / "dm" / "name").write_text(f"{name}\n")
        (folder / "dm" / "uuid").write_text(f"{uuid}\n")
        if table:
            self.tables[number] = table
        return folder

    async def heights(self, start: str | MountEntry) -> Sequence[StackHeight]:
        place = DevicePlace(start) if isinstance(start, str) else MountPlace(start)
        machine = Machine(sys=self.sys, tables=self, mounts=lambda: self.mounts)
        return (await stack_below(place, machine)).heights


def mount(device: str, fstype: str, source: str, options: str = "rw", mountpoint: str = "/") -> MountEntry:
    return MountEntry(1, 0, device, "/", Path(mountpoint), options, fstype, source, options)
