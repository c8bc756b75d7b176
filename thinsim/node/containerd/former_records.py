"""`former_records` reads records that containerd has removed, as far as unused pages still show them.

A page shows neither when it was written nor to which bucket it belonged. So a record is recognised by its
form, and it may be of any earlier time.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from thinsim.node.containerd.bolt import BoltDatabase
from thinsim.node.containerd.bolt_unused import LeafItems, inline_items, values_of
from thinsim.node.containerd.bucket_fields import text_of, uvarint_of
from thinsim.node.containerd.errors import DamagedDatabaseError, DatabasePlace
from thinsim.node.containerd.pool_records import device_of

_DEVICE = re.compile(rb".+-snap-\d{1,20}")
"""The name of a snapshot's device (devmapper/snapshotter.go, getDeviceName)."""
_BACKEND_KEY = re.compile(r"[^/]+/\d+/(?P<client_key>.+)", re.DOTALL)
"""The key that containerd gives a snapshotter (core/metadata/snapshot.go, createKey)."""
_EXTRACTING = "extract-"
"""The begin of the key of a layer while it is unpacked (core/unpack/unpacker.go)."""
_PLACE = DatabasePlace(Path(), "an unused page")


@dataclass(frozen=True, slots=True)
class FormerRecords:
    """A `FormerRecords` has records that containerd removed at some time; a record may be missing."""

    devices: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """The names of devices by thin id, which containerd uses again."""
    snapshots: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """The keys of a snapshot by its id, which containerd uses once: a commit changes the key."""
    images: Mapping[str, str] = field(default_factory=dict)
    """The image of a container by the key that clients use for its snapshot."""

    def keys_of(self, snapshot: int) -> list[str]:
        """Return the keys of the snapshot *snapshot*, without those of its unpacking if there are others."""
        keys = sorted(self.snapshots.get(snapshot, ()))
        return [key for key in keys if not client_key(key).startswith(_EXTRACTING)] or keys


def former_records(metadata: BoltDatabase, snapshots: BoltDatabase, pool: BoltDatabase) -> FormerRecords:
    """Return what the unused pages of the three databases show."""
    devices: dict[int, set[str]] = defaultdict(set)
    for items in pool.unused:
        for key, value, is_bucket in items:
            if not is_bucket and _DEVICE.fullmatch(key):
                with suppress(DamagedDatabaseError):
                    device = device_of(key, bytes(value), _PLACE)
                    devices[device.thin_id].add(device.name)
    keys: dict[int, set[str]] = defaultdict(set)
    for items in snapshots.unused:
        for number, name in _snapshots(items):
            keys[number].add(name)
    images: dict[str, str] = {}
    for items in metadata.unused:
        images |= _image(items)
    return FormerRecords(_frozen(devices), _frozen(keys), images)


def client_key(backend_key: str) -> str:
    """Return the key that clients use for the snapshot *backend_key*."""
    found = _BACKEND_KEY.fullmatch(backend_key)
    return found["client_key"] if found else backend_key


def _frozen(found: Mapping[int, set[str]]) -> dict[int, frozenset[str]]:
    return {number: frozenset(names) for number, names in found.items()}


def _snapshots(items: LeafItems) -> Iterable[tuple[int, str]]:
    """Yield the ids and keys of snapshots in a page of ``v1/snapshots`` or of ``v1/parents``.

    A key of ``v1/parents`` has the ids of a parent and a child, and its value is the key of the child
    (storage/bolt.go, parentKey).
    """
    for key, value, is_bucket in items:
        with suppress(DamagedDatabaseError):
            if is_bucket:
                number = values_of(inline_items(value)).get(b"id", b"")
                name = text_of(key, _PLACE)
            else:
                number = _second_varint(key)
                name = text_of(bytes(value), _PLACE)
            if _BACKEND_KEY.fullmatch(name):
                yield uvarint_of(number, _PLACE), name


def _second_varint(key: bytes) -> bytes:
    end = next((index + 1 for index, byte in enumerate(key) if byte < 0x80), len(key))
    return key[end:]


def _image(items: LeafItems) -> dict[str, str]:
    """Return the image by the snapshot's key, if the page has a container (core/metadata/containers.go)."""
    values = values_of(items)
    key, image = values.get(b"snapshotKey"), values.get(b"image")
    if not key or not image:
        return {}
    with suppress(DamagedDatabaseError):
        return {text_of(key, _PLACE): text_of(image, _PLACE)}
    return {}
