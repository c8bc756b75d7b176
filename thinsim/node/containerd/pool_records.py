"""`read_pool` reads POOL.db, the thin devices and thin ids of containerd's devmapper snapshotter.

The layout is that of containerd's plugins/snapshots/devmapper/metadata.go and device_info.go (1.x:
snapshots/devmapper): ``devices`` has a JSON document per device, ``device_ids`` a byte per thin id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bucket_fields import BucketFields, text_of
from thinsim.node.containerd.errors import DatabasePlace, UnknownSchemaError
from thinsim.snapshotter.device_state import DeviceState

_STATES = dict(enumerate(DeviceState))
_LARGEST = (1 << 64) - 1


class ThinIdUse(IntEnum):
    """A `ThinIdUse` is the byte of a thin id in ``device_ids`` (metadata.go, deviceIDState)."""

    FREE = 0
    TAKEN = 1
    FAULTY = 2
    """The id of a device that failed. containerd does not use it again, and nobody deletes it in the pool."""


_USES = {each.value: each for each in ThinIdUse}


@dataclass(frozen=True, slots=True)
class RecordedDevice:
    """A `RecordedDevice` is the record that containerd has of a thin device (device_info.go, DeviceInfo)."""

    name: str
    thin_id: int
    size: int
    """The size in bytes."""
    parent: str
    """The name of the device that it is a snapshot of, or empty."""
    state: DeviceState | int
    """The state; a number is one that thinsim does not know."""
    error: str
    """The error of the last change of state, or empty."""

    @property
    def state_name(self) -> str:
        """Return the name of the state, or its number."""
        return self.state.value if isinstance(self.state, DeviceState) else f"unknown {self.state}"


@dataclass(frozen=True, slots=True)
class RecordedPool:
    """A `RecordedPool` has the devices of a pool by their name, and the use of each thin id."""

    devices: Mapping[str, RecordedDevice]
    thin_ids: Mapping[int, ThinIdUse | int]
    """The use of each thin id that containerd ever took; a number is one that thinsim does not know."""
    last_thin_id: int
    """The last thin id that was taken for the first time."""


def read_pool(path: Path) -> RecordedPool:
    """Return the records in the POOL.db *path*.

    Raise what `read_database` raises, and UnknownSchemaError for a database of something else.
    """
    return pool_of(read_database(path))


def pool_of(database: BoltDatabase) -> RecordedPool:
    """Return the records in *database*. Errors as for `read_pool`."""
    root = BucketFields(database.root, DatabasePlace(database.path))
    devices, thin_ids = root.inner(b"devices"), root.inner(b"device_ids")
    if devices is None or thin_ids is None:
        if database.root.buckets or database.root.values:
            missing = "devices" if devices is None else "device_ids"
            raise UnknownSchemaError(
                database.path, f"it has no bucket {missing}, so it is not the database of a devmapper pool"
            )
        return RecordedPool({}, {}, 0)
    found = [device_of(key, value, devices.place.within(key)) for key, value in devices.bucket.values.items()]
    uses = (_thin_id(key, value, thin_ids.place) for key, value in thin_ids.bucket.values.items())
    return RecordedPool({each.name: each for each in found}, dict(sorted(uses)), thin_ids.bucket.sequence)


def device_of(key: bytes, value: bytes, place: DatabasePlace) -> RecordedDevice:
    """Return the device *key*, whose record is *value*. DamagedDatabaseError names *place*."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        raise place.damaged("the record of the device is not JSON") from None
    if not isinstance(document, dict):
        raise place.damaged("the record of the device is not a JSON object")
    state = _number(document, "state", place)
    return RecordedDevice(
        text_of(key, place),
        _number(document, "device_id", place),
        _number(document, "size", place),
        _string(document, "parent_name", place),
        _STATES.get(state, state),
        _string(document, "error", place),
    )


def _number(document: Mapping[str, Any], name: str, place: DatabasePlace) -> int:
    value = document.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise place.damaged(f"{name} is {str(value)[:40]!r}, not a number of 64 bits")
    return value


def _string(document: Mapping[str, Any], name: str, place: DatabasePlace) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise place.damaged(f"{name} is not a string")
    return value


def _thin_id(key: bytes, value: bytes, thin_ids: DatabasePlace) -> tuple[int, ThinIdUse | int]:
    place = thin_ids.within(key)
    if not key.isdigit() or len(key) > len(str(_LARGEST)):
        raise place.damaged("the key is not a thin id")
    if len(value) != 1:
        raise place.damaged(f"{len(value)} bytes are not the use of a thin id")
    use = value[0]
    return int(key), _USES.get(use, use)
