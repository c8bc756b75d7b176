"""A `Registry` records the devices on disk, so that the daemon after a killed one can restore them.

It records names, uuids and tables; the data is on the devices. Records of another boot are ignored, since
mapped devices do not survive a reboot.
"""

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.names import MAPPER
from thinsim.dm.text import TableLine
from thinsim.errors import KernelError
from thinsim.machine.state import boot_id

log = logging.getLogger(__name__)

FORMAT = 1
_NUMBER = re.compile(r"\d+:\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A `Remembered` holds everything that is needed to create one device again."""

    name: str
    uuid: str
    number: str
    read_only: bool
    suspended: bool
    lines: Sequence[TableLine]


class Registry:
    """A `Registry` is the file of the devices; each change rewrites the whole file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, dm: LocalDeviceMapper) -> None:
        """Write the current devices of *dm*."""
        devices = [
            Remembered(
                device.name,
                device.uuid,
                f"{device.number[0]}:{device.number[1]}",
                device.read_only,
                device.suspended,
                device.live.source if device.live is not None else (),
            )
            for device in dm.devices.values()
            if not device.deferred_remove
        ]
        document = {"format": FORMAT, "boot": boot_id(), "devices": [asdict(device) for device in devices]}
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def load(self) -> list[Remembered]:
        """Return the devices saved in this boot; none if the file is missing or damaged. Damage is logged."""
        try:
            document = json.loads(self._path.read_text())
            if document["format"] != FORMAT or document["boot"] != boot_id():
                return []
            return [
                Remembered(**{**entry, "lines": tuple(TableLine(**line) for line in entry["lines"])})
                for entry in document["devices"]
            ]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            log.error("%s is damaged; no device is restored from it: %s", self._path, error)
            return []


async def restore(dm: LocalDeviceMapper, remembered: Sequence[Remembered]) -> None:
    """Create the devices again, those that others use first; a failure is logged, and the device skipped."""
    # A table may name a device by its old number; the device has another number now.
    names = {device.number: f"{MAPPER}/{device.name}" for device in remembered}
    waiting, made = list(remembered), []
    while waiting:
        before = {device.name for device in waiting}
        ready = [device for device in waiting if not _uses(device, names) & before - {device.name}]
        for wanted in ready or waiting:
            await _make(dm, wanted, names)
            waiting.remove(wanted)
            made.append(wanted)
    # A suspended pool accepts no thin devices: suspend users first, and the devices they use last.
    for wanted in reversed(made):
        device = dm.devices.get(wanted.name)
        if device is not None and wanted.suspended and device.live is not None:
            await dm.suspend_device(device, lock_fs=False)


def _uses(device: Remembered, names: dict[str, str]) -> set[str]:
    words = {names.get(word, word) for line in device.lines for word in line.arguments.split()}
    return {word.removeprefix(f"{MAPPER}/") for word in words}


async def _make(dm: LocalDeviceMapper, wanted: Remembered, names: dict[str, str]) -> None:
    lines = [
        TableLine(line.start, line.length, line.kind, _renumbered(line.arguments, names))
        for line in wanted.lines
    ]
    try:
        device = await dm.add(wanted.name, wanted.uuid)
        if lines:
            await dm.load_lines(device, lines, read_only=wanted.read_only)
            await dm.resume_device(device)
    except (KernelError, OSError) as error:
        log.error("device %s of the previous daemon can't be restored: %s", wanted.name, error)


def _renumbered(arguments: str, names: dict[str, str]) -> str:
    return " ".join(names.get(word, word) if _NUMBER.fullmatch(word) else word for word in arguments.split())
