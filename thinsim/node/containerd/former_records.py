"""`former_records` reads records that containerd has removed, as far as unused pages still show them.

A page shows neither when it was written nor to which bucket it belonged. So a record is recognised by its
form, and it may be of any earlier time.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
    for items in _with_inline_buckets(pool.unused):
        for key, value, is_bucket in items:
            if not is_bucket and _DEVICE.fullmatch(key):
                with suppress(DamagedDatabaseError):
                    device = device_of(key, bytes(value), _PLACE)
                    devices[device.thin_id].add(device.name)
    images: dict[str, str] = {}
    for items in _with_inline_buckets(metadata.unused):
        images |= _image(items)
    return FormerRecords(_frozen(devices), _frozen(_keys(snapshots)), images)


def client_key(backend_key: str) -> str:
    """Return the key that clients use for the snapshot *backend_key*."""
    found = _BACKEND_KEY.fullmatch(backend_key)
    return found["client_key"] if found else backend_key


def _frozen(found: Mapping[int, set[str]]) -> dict[int, frozenset[str]]:
    return {number: frozenset(names) for number, names in found.items()}


def _keys(snapshots: BoltDatabase) -> dict[int, set[str]]:
    """Return the keys of snapshots by their id (core/snapshots/storage/bolt.go).

    A key of ``v1/parents`` has the ids of a parent and a child, with a zero between, and its value is the
    key of the child. The bucket of a snapshot has its id, and the key of its parent. Ids are used once, so
    the two also give the key of a parent that is nobody's child.
    """
    found: dict[int, set[str]] = defaultdict(set)
    parents: dict[int, int] = {}
    keys_of_parents: dict[int, set[str]] = defaultdict(set)
    for items in _with_inline_buckets(snapshots.unused):
        for child, parent, key in _children(items):
            found[child].add(key)
            parents[child] = parent
        for number, parent_key in _parent(items):
            keys_of_parents[number].add(parent_key)
    for child, keys in keys_of_parents.items():
        if child in parents:
            found[parents[child]] |= keys
    return found


def _with_inline_buckets(pages: Iterable[LeafItems]) -> Iterator[LeafItems]:
    for items in pages:
        yield items
        for _, value, is_bucket in items:
            if is_bucket:
                yield inline_items(value)


def _children(items: LeafItems) -> Iterator[tuple[int, int, str]]:
    """Yield the ids of a child and of its parent, and the key of the child, from items of ``v1/parents``."""
    for key, value in values_of(items).items():
        with suppress(DamagedDatabaseError):
            end = next((index + 1 for index, byte in enumerate(key) if byte < 0x80), len(key))
            parent, child = uvarint_of(key[:end], _PLACE), uvarint_of(key[end + 1 :], _PLACE)
            name = text_of(value, _PLACE)
            if key[end] == 0 and _BACKEND_KEY.fullmatch(name):
                yield child, parent, name


def _parent(items: LeafItems) -> Iterator[tuple[int, str]]:
    """Yield the id of a snapshot and the key of its parent, if *items* are those of a snapshot."""
    values = values_of(items)
    with suppress(DamagedDatabaseError):
        name = text_of(values.get(b"parent", b""), _PLACE)
        if b"kind" in values and _BACKEND_KEY.fullmatch(name):
            yield uvarint_of(values.get(b"id", b""), _PLACE), name


def _image(items: LeafItems) -> dict[str, str]:
    """Return the image by the snapshot's key, if the page has a container (core/metadata/containers.go)."""
    values = values_of(items)
    key, image = values.get(b"snapshotKey"), values.get(b"image")
    if not key or not image:
        return {}
    with suppress(DamagedDatabaseError):
        return {text_of(key, _PLACE): text_of(image, _PLACE)}
    return {}
