"""`read_snapshots` reads metadata.db, in which a snapshotter of containerd keeps its snapshots.

The layout is that of containerd's core/snapshots/storage/bolt.go (1.x: snapshots/storage):
``v1/snapshots`` has a bucket per snapshot, and ``v1/parents`` the same relations by id, which add nothing
and are not read. containerd makes ``v1`` with the first snapshot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bucket_fields import BucketFields
from thinsim.node.containerd.errors import DatabasePlace, UnknownSchemaError
from thinsim.snapshotter.interface import Kind, Usage

_KINDS = {1: Kind.VIEW, 2: Kind.ACTIVE, 3: Kind.COMMITTED}
"""Kinds by their byte (core/snapshots/snapshotter.go)."""
_UNKNOWN = 0


@dataclass(frozen=True, slots=True)
class BackendSnapshot:
    """A `BackendSnapshot` is a snapshot of a snapshotter, as its metadata.db has it.

    containerd gives the snapshotter a key of the form ``namespace/number/key``, which is not the key that
    clients use (core/metadata/snapshot.go, createKey).
    """

    key: str
    """The key of an active snapshot or view, or the name of a committed one."""
    id: int
    """The number in the name of its thin device, ``POOL-snap-ID``."""
    kind: Kind | int
    """The kind; a number if thinsim does not know the kind. containerd's KindUnknown is 0."""
    parent: str
    """The key of the parent, or empty."""
    created: datetime | None
    updated: datetime | None
    labels: Mapping[str, str]
    usage: Usage | None
    """The usage that containerd stored at the commit; None for a snapshot that is not committed."""

    @property
    def kind_name(self) -> str:
        """Return the kind in containerd's spelling, or its number."""
        if isinstance(self.kind, Kind):
            return self.kind.value
        return f"unknown {self.kind}" if self.kind != _UNKNOWN else "Unknown"


def read_snapshots(path: Path) -> Mapping[str, BackendSnapshot]:
    """Return the snapshots in the metadata.db *path* by their key.

    Raise what `read_database` raises, and UnknownSchemaError for a database of something else.
    """
    return snapshots_of(read_database(path))


def snapshots_of(database: BoltDatabase) -> Mapping[str, BackendSnapshot]:
    """Return the snapshots in *database* by their key. Errors as for `read_snapshots`."""
    root = BucketFields(database.root, DatabasePlace(database.path))
    snapshots = root.inner(b"v1", b"snapshots")
    if snapshots is None and (database.root.buckets or database.root.values):
        raise UnknownSchemaError(
            database.path, "it has no bucket v1/snapshots, so it is not a snapshotter's metadata.db"
        )
    return {key: _snapshot(key, fields) for key, fields in root.each(b"v1", b"snapshots")}


def _snapshot(key: str, fields: BucketFields) -> BackendSnapshot:
    values = fields.bucket.values
    if not values.get(b"id"):
        raise fields.place.damaged("the snapshot has no id")
    kind = values.get(b"kind", bytes(1))
    if len(kind) != 1:
        raise fields.place.within(b"kind").damaged(f"{len(kind)} bytes are not a kind")
    usage = Usage(fields.varint(b"size"), fields.varint(b"inodes")) if b"size" in values else None
    return BackendSnapshot(
        key,
        fields.uvarint(b"id"),
        _KINDS.get(kind[0], kind[0]),
        fields.text(b"parent"),
        fields.time(b"createdat"),
        fields.time(b"updatedat"),
        fields.labels(),
        usage,
    )
