"""A pool's state as bytes: one self-contained, checksummed image.

Header (little endian): magic, version, data block size in sectors, length of what follows, CRC-32 of
all but itself. Then the pool's numbers, and each device: its numbers and its mappings as compressed runs of
four 64-bit numbers (see ``Mappings.compressed``). Reference counts are not saved, they are counted again.
"""

import errno
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping
from typing import Any

from thinsim.errors import KernelError
from thinsim.thin.ids import MAX_THIN_ID
from thinsim.thin.mapping import Mappings, Run
from thinsim.thin.state import DeviceState, HeldSnapshot, PoolState
from thinsim.units import Sectors

METADATA_BLOCK_SIZE = 4096
"""Bytes of a metadata block; status counts in them."""

MAX_METADATA_BLOCKS = 255 * 16320
"""Metadata blocks of a device that are counted (dm-thin-metadata.h, THIN_METADATA_MAX_SECTORS)."""

MAGIC = b"thinpool"
VERSION = 1

_HEADER = struct.Struct("<8sIIQ")
_CHECKSUM = struct.Struct("<I")
_POOL = struct.Struct("<QQQQQQQQ")
_DEVICE = struct.Struct("<QQQQQQ")
_NEEDS_CHECK = 1
_HELD = 2


class MetadataDamagedError(KernelError):
    """What is on the metadata device is no whole pool of ours; EILSEQ, as the kernel's wrong checksum."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EILSEQ, text)


def encode(state: PoolState) -> bytes:
    """Return *state* as an image."""
    held = state.held
    flags = (_NEEDS_CHECK if state.needs_check else 0) | (_HELD if held else 0)
    parts = [
        _POOL.pack(
            state.nr_data_blocks,
            state.transaction_id,
            state.time,
            flags,
            held.root if held else 0,
            len(state.devices),
            len(held.devices) if held else 0,
            len(state.leaked),
        ),
        struct.pack(f"<{len(state.leaked)}Q", *state.leaked),
    ]
    _add_devices(parts, state.devices)
    if held:
        _add_devices(parts, held.devices)
    body = b"".join(parts)
    header = _HEADER.pack(MAGIC, VERSION, state.block_size, len(body))
    return header + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(header))) + body


def decode(image: bytes) -> PoolState:
    """Return the state in *image*; MetadataDamagedError unless all of it is whole and consistent."""
    start = _HEADER.size + _CHECKSUM.size
    if len(image) < start:
        raise MetadataDamagedError(f"metadata image: {len(image)} bytes are no header")
    magic, version, block_size, length = _HEADER.unpack_from(image)
    (checksum,) = _CHECKSUM.unpack_from(image, _HEADER.size)
    body = image[start:]
    if magic != MAGIC:
        raise MetadataDamagedError(f"metadata image: magic is {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise MetadataDamagedError(f"metadata image: version is {version}, not {VERSION}")
    if len(body) != length:
        raise MetadataDamagedError(f"metadata image: {len(body)} bytes follow the header, not {length}")
    found = zlib.crc32(body, zlib.crc32(image[: _HEADER.size]))
    if found != checksum:
        raise MetadataDamagedError(f"metadata image: checksum is {found:#x}, not {checksum:#x}")
    try:
        return _Reader(body).pool(Sectors(block_size))
    except struct.error as error:
        raise MetadataDamagedError(f"metadata image: cut short: {error}") from error


def _add_devices(parts: list[bytes], devices: Mapping[int, DeviceState]) -> None:
    for thin_id, device in sorted(devices.items()):
        runs = device.mappings.compressed()
        parts.append(
            _DEVICE.pack(
                thin_id,
                device.transaction_id,
                device.creation_time,
                device.snapshotted_time,
                len(device.mappings),
                len(runs),
            )
        )
        parts.append(runs)


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def pool(self, block_size: Sectors) -> PoolState:
        numbers = self._take(_POOL)
        nr_blocks, transaction_id, time, flags, root, nr_devices, nr_held, nr_leaked = numbers
        leaked = list(self._take(struct.Struct(f"<{nr_leaked}Q")))
        if any(block >= nr_blocks for block in leaked):
            raise MetadataDamagedError(f"metadata image: leaked block {max(leaked)} of {nr_blocks}")
        devices = self._devices(nr_devices, nr_blocks, time)
        held = HeldSnapshot(root, self._devices(nr_held, nr_blocks, time)) if flags & _HELD else None
        if self._position != len(self._body):
            raise MetadataDamagedError(f"metadata image: {len(self._body) - self._position} bytes too many")
        needs_check = bool(flags & _NEEDS_CHECK)
        return PoolState(block_size, nr_blocks, transaction_id, time, needs_check, devices, held, leaked)

    def _devices(self, count: int, nr_blocks: int, time: int) -> dict[int, DeviceState]:
        devices: dict[int, DeviceState] = {}
        for _ in range(count):
            thin_id, transaction_id, created, snapshotted, mapped, length = self._take(_DEVICE)
            if thin_id > MAX_THIN_ID or thin_id in devices:
                raise MetadataDamagedError(f"metadata image: thin id {thin_id} is invalid or there twice")
            (packed,) = self._take(struct.Struct(f"{length}s"))
            mappings = Mappings(_runs(thin_id, packed, nr_blocks, time))
            if len(mappings) != mapped:
                raise MetadataDamagedError(
                    f"metadata image: thin {thin_id} has {len(mappings)} mappings, not {mapped}"
                )
            devices[thin_id] = DeviceState(mappings, transaction_id, created, snapshotted)
        return devices

    def _take(self, form: struct.Struct) -> tuple[Any, ...]:
        values = form.unpack_from(self._body, self._position)
        self._position += form.size
        return values


def _runs(thin_id: int, packed: bytes, nr_blocks: int, time: int) -> list[Run]:
    try:
        numbers = array("Q", zlib.decompress(packed))
    except (zlib.error, ValueError) as error:
        raise MetadataDamagedError(f"metadata image: mappings of thin {thin_id}: {error}") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(numbers) % 4:
        raise MetadataDamagedError(f"metadata image: mappings of thin {thin_id} are cut short")
    runs = [Run(*numbers[at : at + 4]) for at in range(0, len(numbers), 4)]
    end = 0
    for run in runs:
        if run.vblock < end or not run.length or run.data_block + run.length > nr_blocks or run.time > time:
            raise MetadataDamagedError(f"metadata image: thin {thin_id} has an impossible mapping: {run}")
        end = run.vblock + run.length
    return runs
