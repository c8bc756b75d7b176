"""`Replay` carries out a random history on the engine; its answers were recorded on Linux 6.1.

The records name most operations in full. The rest comes from the random generator that made the history,
so the replay makes each of its decisions again.
"""

import errno
import hashlib
import json
import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.thin.ram_pool import RamPool
from thinsim.block.discard_pieces import discard_pieces
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.table import PoolFeatures, PoolTable
from thinsim.units import Sectors

_OPERATIONS = ["thin", "snap", "act", "deact", "del", "write", "disc", "trans", "bad", "msnap", "remk"]
_WEIGHTS = [6, 8, 8, 4, 5, 40, 16, 1, 4, 1, 2]
DEVICES = ("7:1", "7:0")
"""The numbers of the metadata and the data device in the recorded tables."""
_LOW_WATER = 32
_THIN_SECTORS = Sectors(16384)
_THIN_BYTES = 8 << 20
_PAGE = 4096
_FEATURES = PoolFeatures(skip_block_zeroing=True)
_BAD_MESSAGES = [
    "create_thin",
    "create_thin 16777216",
    "create_thin x",
    "create_snap 1",
    "delete 99999",
    "frobnicate",
    "create_snap 5 5000",
    "delete",
    "set_transaction_id 1",
    "release_metadata_snap",
]


@dataclass(frozen=True)
class Shape:
    """A `Shape` has the numbers of a recorded history and its pool: operations, MiB and sectors."""

    operations: int = 150
    data_mb: int = 64
    meta_mb: int = 8
    block: int = 128
    features: PoolFeatures = _FEATURES


HISTORIES = {
    1: Shape(),
    2: Shape(),
    3: Shape(120),
    4: Shape(80, features=PoolFeatures()),
    5: Shape(80, block=256),
    6: Shape(80, features=PoolFeatures(no_discard_passdown=True)),
    7: Shape(100, data_mb=4, features=PoolFeatures(skip_block_zeroing=True, error_if_no_space=True)),
    8: Shape(120, meta_mb=1),
    9: Shape(50, features=PoolFeatures(skip_block_zeroing=True, ignore_discard=True)),
    10: Shape(80, data_mb=16, block=1024, features=PoolFeatures(error_if_no_space=True)),
    11: Shape(80, block=384),
    12: Shape(150, data_mb=2, features=PoolFeatures(skip_block_zeroing=True, error_if_no_space=True)),
    13: Shape(120, data_mb=2, features=PoolFeatures(error_if_no_space=True)),
    14: Shape(
        150,
        data_mb=4,
        block=384,
        features=PoolFeatures(skip_block_zeroing=True, error_if_no_space=True, no_discard_passdown=True),
    ),
}
"""The recorded histories, by seed."""


def records(seed: int) -> list[dict[str, Any]]:
    """Return the recorded answers of a seed."""
    path = Path(__file__).parent / "data" / f"linux-6.1-seed{seed}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


class Replay:
    """A `Replay` is one history; ``answers`` returns the engine's records, in the form of the kernel's."""

    def __init__(self, seed: int, shape: Shape | None = None) -> None:
        self.shape = shape = shape or HISTORIES[seed]
        self.seed = seed
        self.random = random.Random(seed)
        self.block = shape.block
        self.sectors = shape.data_mb << 11
        self.ram = RamPool(
            self.sectors // shape.block,
            shape.block,
            shape.features,
            low_water_blocks=_LOW_WATER,
            old_content=b"\0",
            metadata_blocks=shape.meta_mb << 8,
        )
        size = Sectors(self.sectors)
        self.table = PoolTable(size, *DEVICES, Sectors(shape.block), _LOW_WATER, shape.features)
        self.known: set[int] = set()
        self.active: dict[int, ThinDevice] = {}
        self.transaction = 0
        self.host_pages: set[int] = set()

    def answers(self) -> list[dict[str, Any]]:
        """Carry out the history and return a record per operation."""
        found = []
        for number in range(self.shape.operations):
            operation = self.random.choices(_OPERATIONS, _WEIGHTS)[0]
            record: dict[str, Any] = {"i": number, "op": operation}
            if not self._step(number, operation, record):
                continue
            self.ram.commit()
            record["pool"] = self.ram.pool.status().text(0, self.sectors)
            record["thins"] = {
                str(thin_id): device.status().text(0, 16384)
                for thin_id, device in sorted(self.active.items())
            }
            self._note_host()
            if number % 10 == 9:
                record["sha"] = {
                    str(thin_id): hashlib.sha256(self.ram.content(device)).hexdigest()[:16]
                    for thin_id, device in sorted(self.active.items())
                }
                record["host_kib"] = len(self.host_pages) * _PAGE // 1024
            if number % 25 == 24:
                record["table"] = self.table.text(*DEVICES)
            found.append(record)
        return found

    def dump(self) -> dict[int, tuple[dict[str, str], list[tuple[int, int, int, int]]]]:
        """Return the details and runs of each device, as ``thin_dump`` does."""
        pool = self.ram.pool
        found = {}
        for thin_id in pool.thin_ids():
            details = pool.metadata.details(thin_id)
            found[int(thin_id)] = (
                {
                    "mapped_blocks": str(details.mapped_blocks),
                    "transaction": str(details.transaction_id),
                    "creation_time": str(details.creation_time),
                    "snap_time": str(details.snapshotted_time),
                },
                [(run.vblock, run.data_block, run.length, run.time) for run in pool.mappings(thin_id)],
            )
        return found

    def _step(self, number: int, operation: str, record: dict[str, Any]) -> bool:
        """Carry out one operation; return False if the history skips it because a device is missing."""
        if operation in ("thin", "snap", "del", "trans", "bad", "msnap"):
            return self._ask(operation, record)
        if operation == "act":
            return self._activate(record)
        active = sorted(self.active)
        if not active:
            return False
        record["id"] = one = self.random.choice(active)
        if operation == "deact":
            record["rc"] = 0
            self.ram.pool.close_thin(self.active.pop(one))
        else:
            self._request(number, operation, one, record)
            if record["rc"]:
                record["err"] = ""
        return True

    def _ask(self, operation: str, record: dict[str, Any]) -> bool:
        choose, ids = self.random, sorted(self.known)
        if operation == "thin":
            record["id"] = new = choose.randrange(1, 24)
            if self._message(record, f"create_thin {new}"):
                self.known.add(new)
        elif operation == "snap":
            if not ids:
                return False
            origin, new = choose.choice(ids), choose.randrange(1, 24)
            record.update(id=new, origin=origin)
            if self._message(record, f"create_snap {new} {origin}"):
                self.known.add(new)
        elif operation == "del":
            one = choose.choice(ids) if ids and choose.random() < 0.8 else choose.randrange(1, 30)
            record["id"] = one
            if self._message(record, f"delete {one}"):
                self.known.discard(one)
        elif operation == "trans":
            old = self.transaction if choose.random() < 0.7 else self.transaction + 5
            if self._message(record, f"set_transaction_id {old} {self.transaction + 1}"):
                self.transaction += 1
        else:
            snap_messages = ["reserve_metadata_snap", "release_metadata_snap"]
            record["msg"] = choose.choice(_BAD_MESSAGES if operation == "bad" else snap_messages)
            self._message(record, record["msg"])
        return True

    def _activate(self, record: dict[str, Any]) -> bool:
        if not self.known:
            return False
        record["id"] = one = self.random.choice(sorted(self.known))
        if one in self.active:
            self._refuse(record, f"create ioctl on POOL-t{one}  failed", errno.EBUSY)
        else:
            record["rc"] = 0
            self.active[one] = self.ram.pool.open_thin(one, _THIN_SECTORS)
        return True

    def _request(self, number: int, operation: str, thin_id: int, record: dict[str, Any]) -> None:
        choose, tag = self.random, self.seed * 100000 + number
        if operation == "remk":
            base = choose.randrange(0, 64) * 65536
            pieces = [(base + at * 65536, 4096) for at in range(8)]
            record["rc"] = 0
            for piece in pieces:
                record["rc"] |= self._errno_of(lambda piece=piece: self._write(thin_id, piece, tag))
            return
        if operation == "write":
            offset = choose.randrange(0, _THIN_BYTES - (1 << 20), 4096)
            length = choose.choice([4096, 8192, 65536, 131072, 262144])
            offset -= offset % 65536 if choose.random() < 0.5 else 0
            record["rc"] = self._errno_of(lambda: self._write(thin_id, (offset, length), tag))
        else:
            offset = choose.randrange(0, _THIN_BYTES - (4 << 20), 512)
            length = choose.choice([512, 65536, 65536 * 3, 1 << 20, 4 << 20])
            offset -= offset % 65536 if choose.random() < 0.6 else 0
            record["rc"] = self._errno_of(lambda: self._discard(thin_id, offset, length))
        record.update(off=offset, ln=length)

    def _write(self, thin_id: int, piece: tuple[int, int], tag: int) -> None:
        offset, length = piece
        content = struct.pack("<QQ", tag, offset) * (length // 16)
        self.ram.write(self.active[thin_id], offset, content)

    def _discard(self, thin_id: int, offset: int, length: int) -> None:
        for start, size in discard_pieces(offset, length, self.block * 512):
            self.ram.discard(self.active[thin_id], start, size)

    def _errno_of(self, request: Callable[[], object]) -> int:
        try:
            request()
        except DeviceMapperError as error:
            return error.errno
        return 0

    def _message(self, record: dict[str, Any], text: str) -> bool:
        record["rc"] = 0
        try:
            self.ram.message(text)
        except DeviceMapperError as error:
            self._refuse(record, "message ioctl on POOL  failed", error.errno)
            return False
        return True

    def _refuse(self, record: dict[str, Any], what: str, number: int) -> None:
        record["rc"] = 1
        record["err"] = f"device-mapper: {what}: {os.strerror(number)}"

    def _note_host(self) -> None:
        # Within one operation no range is both written and passed down.
        for offset, length in self.ram.written:
            self.host_pages.update(range(offset // _PAGE, (offset + length) // _PAGE))
        for block, count in self.ram.passed_down:
            pages = self.ram.block // _PAGE
            self.host_pages.difference_update(range(block * pages, (block + count) * pages))
        self.ram.written.clear()
        self.ram.passed_down.clear()


def parse_dump(xml: str) -> dict[int, tuple[dict[str, str], list[tuple[int, int, int, int]]]]:
    """Parse the XML of ``thin_dump`` into the form of ``Replay.dump``."""
    devices = {}
    for device in ElementTree.fromstring(xml).findall("device"):
        details = dict(device.attrib)
        thin_id = int(details.pop("dev_id"))
        runs = []
        for mapping in device:
            values = {name: int(value) for name, value in mapping.attrib.items()}
            begin = values.get("origin_begin", values.get("origin_block", 0))
            data = values.get("data_begin", values.get("data_block", 0))
            runs.append((begin, data, values.get("length", 1), values["time"]))
        devices[thin_id] = (details, runs)
    return devices
