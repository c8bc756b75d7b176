"""`view_of` reads what the kernel shows of a block device in sysfs, by its number."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from thinsim.node.stack.height import DeviceLimits
from thinsim.units import SECTOR_SIZE

SYS = Path("/sys")


@dataclass(frozen=True, slots=True)
class LoopView:
    """A `LoopView` has the file of a loop device, and the part of it that the device shows."""

    file: str
    """The kernel's text for the file's path; ``(deleted)`` follows if the file has no name any more."""
    offset: int


@dataclass(frozen=True, slots=True)
class BlockView:
    """A `BlockView` is a block device as sysfs shows it. Devices are named by ``major:minor``."""

    number: str
    name: str
    """The kernel's name, such as ``sda1``."""
    size: int
    read_only: bool
    limits: DeviceLimits
    parent: str | None = None
    """The device of which this one is a partition."""
    partition_start: int = 0
    loop: LoopView | None = None
    mapper_name: str = ""
    """The name of a device of the kernel's device-mapper; otherwise empty."""
    mapper_uuid: str = ""
    slaves: tuple[str, ...] = ()
    """The devices that this one consists of."""


def view_of(number: str, sys: Path = SYS) -> BlockView | None:
    """Return the device *number* (``major:minor``), or None if the kernel has none with that number."""
    place = sys / "dev" / "block" / number
    try:
        folder = place.resolve(strict=True)
        return _read(number, folder)
    except FileNotFoundError:
        return None


def members_of_btrfs(number: str, sys: Path = SYS) -> list[str]:
    """Return the numbers of all devices of the btrfs that has the device *number*; at least that one."""
    for devices in (sys / "fs" / "btrfs").glob("*/devices"):
        numbers = sorted(_numbers(devices))
        if number in numbers:
            return numbers
    return [number]


def _read(number: str, folder: Path) -> BlockView:
    # A partition has no queue of its own.
    parent = folder.parent if (folder / "partition").exists() else None
    return BlockView(
        number=number,
        name=folder.name,
        size=int(_text(folder / "size")) * SECTOR_SIZE,
        read_only=_text(folder / "ro") == "1",
        limits=_limits(folder, (parent or folder) / "queue"),
        parent=_text(parent / "dev") if parent else None,
        partition_start=int(_text(folder / "start", "0")) * SECTOR_SIZE,
        loop=_loop(folder / "loop"),
        mapper_name=_text(folder / "dm" / "name"),
        mapper_uuid=_text(folder / "dm" / "uuid"),
        slaves=tuple(sorted(_numbers(folder / "slaves"))),
    )


def _limits(folder: Path, queue: Path) -> DeviceLimits:
    # Linux 6.11 shows the alignment in the queue's folder as well, older kernels only in the device's.
    most = int(_text(queue / "discard_max_bytes", "0"))
    return DeviceLimits(
        logical_block=int(_text(queue / "logical_block_size", "512")),
        granularity=int(_text(queue / "discard_granularity", "0")),
        alignment=int(_text(folder / "discard_alignment", "0")),
        max_bytes=most,
        max_hw_bytes=int(_text(queue / "discard_max_hw_bytes", str(most))),
    )


def _loop(folder: Path) -> LoopView | None:
    file = _text(folder / "backing_file")
    return LoopView(file, int(_text(folder / "offset", "0"))) if file else None


def _numbers(folder: Path) -> Iterator[str]:
    """Yield the numbers of the devices to which the links of *folder* lead."""
    for link in folder.glob("*"):
        number = _text(link / "dev")
        if number:
            yield number


def _text(file: Path, missing: str = "") -> str:
    """Return the text of an attribute; *missing* without it, or if the device has just gone."""
    try:
        return file.read_text().strip("\n") or missing
    except OSError:
        return missing
