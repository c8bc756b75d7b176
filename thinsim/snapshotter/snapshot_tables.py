"""`SnapshotReader` and `SnapshotWriter` read and write the tables of the snapshots' store.

They enforce the rules of containerd ``core/snapshots/storage/bolt.go``: a name is unique over all kinds,
a parent is committed, a snapshot with a child cannot be removed, and only ``update`` and ``commit``
replace labels. This module has nothing to do with devices.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from thinsim.snapshotter.database import Database
from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from thinsim.snapshotter.interface import Info, Kind, Usage

# snapshots: one row per snapshot.
#   id        increasing, never reused; the number in the device's name
#   name      key of an active snapshot or view, name of a committed one
#   kind      Kind
#   parent    id of the committed parent, or NULL
#   labels    JSON object of strings
#   created, updated   ISO 8601, UTC, microseconds; commit sets both again
#   size, inodes       usage at commit, parents included, bytes; 0 before
# removed: snapshots removed by async_remove whose device waits for cleanup. The device's own state records
# that it waits; this table records its last owner.
SCHEMA = """
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    parent INTEGER REFERENCES snapshots (id),
    labels TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX children ON snapshots (parent) WHERE parent IS NOT NULL;
CREATE TABLE removed (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL
)
"""

_SELECT = """
SELECT s.id, s.name, s.kind, s.parent, coalesce(p.name, ''), s.labels, s.created, s.updated, s.size, s.inodes
FROM snapshots AS s LEFT JOIN snapshots AS p ON p.id = s.parent
"""


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A `SnapshotRecord` is one row: *info* as containerd shows it, the ids, and the usage at commit.

    *parent_id* is None for a base snapshot.
    """

    id: int
    parent_id: int | None
    info: Info
    usage: Usage


@dataclass(frozen=True, slots=True)
class DeviceOwner:
    """A `DeviceOwner` names the snapshot that a device belongs to, or belonged to before its removal."""

    name: str
    kind: Kind


class SnapshotReader:
    """A `SnapshotReader` reads the snapshots in *db*."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> SnapshotRecord:
        """Return the snapshot *name*. Raise NotFoundError if it does not exist."""
        record = self._find(name)
        if record is None:
            raise NotFoundError(f"snapshot {name!r} does not exist")
        return record

    def all(self) -> Sequence[SnapshotRecord]:
        """Return every snapshot, sorted by name."""
        return [_record(row) for row in self._db.execute(_SELECT + "ORDER BY s.name")]

    def owner(self, snapshot_id: int) -> DeviceOwner | None:
        """Return the snapshot with this id, or the removed one whose device waits for cleanup, or None."""
        row = self._db.execute(
            "SELECT name, kind FROM removed WHERE id = ?1 "
            "UNION ALL SELECT name, kind FROM snapshots WHERE id = ?1",
            (snapshot_id,),
        ).fetchone()
        return None if row is None else DeviceOwner(row[0], Kind(row[1]))

    def waiting(self) -> Sequence[int]:
        """Return the ids of removed snapshots whose device waits for cleanup."""
        return [row[0] for row in self._db.execute("SELECT id FROM removed ORDER BY id")]

    def plan(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> SnapshotRecord:
        """Return the record of a new active snapshot or view with the next id, without adding it.

        Raise NotFoundError if the parent does not exist, InvalidArgumentError if it is not committed,
        AlreadyExistsError if a snapshot of any kind has the name *key*.
        """
        base = self.get(parent) if parent else None
        if base is not None and base.info.kind is not Kind.COMMITTED:
            raise InvalidArgumentError(f"parent {parent!r} is not a committed snapshot")
        self._require_free(key)
        row = self._db.execute(
            "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'snapshots'"
        ).fetchone()
        now = datetime.now(UTC)
        kept = {label: value for label, value in labels.items() if value}
        info = Info(kind, key, "" if base is None else parent, kept, now, now)
        return SnapshotRecord(int(row[0]), None if base is None else base.id, info, Usage(0))

    def committable(self, key: str, name: str) -> SnapshotRecord:
        """Return the active snapshot *key* if it can be committed as *name*.

        Raise AlreadyExistsError if *name* is taken, NotFoundError if *key* does not exist,
        FailedPreconditionError if *key* is not active.
        """
        self._require_free(name)
        record = self.get(key)
        if record.info.kind is not Kind.ACTIVE:
            raise FailedPreconditionError(f"snapshot {key!r} is not active")
        return record

    def removable(self, key: str) -> SnapshotRecord:
        """Return the snapshot *key* if it can be removed.

        Raise NotFoundError if it does not exist, FailedPreconditionError if it has a child.
        """
        record = self.get(key)
        child = self._db.execute(
            "SELECT name FROM snapshots WHERE parent = ? LIMIT 1", (record.id,)
        ).fetchone()
        if child is not None:
            raise FailedPreconditionError(f"cannot remove snapshot {key!r}: it has a child, {child[0]!r}")
        return record

    def _find(self, name: str) -> SnapshotRecord | None:
        row = self._db.execute(_SELECT + "WHERE s.name = ?", (name,)).fetchone()
        return None if row is None else _record(row)

    def _require_free(self, name: str) -> None:
        if not name:
            raise InvalidArgumentError("a snapshot needs a name")
        if self._find(name) is not None:
            raise AlreadyExistsError(f"snapshot {name!r} exists already")


class SnapshotWriter(SnapshotReader):
    """A `SnapshotWriter` reads and writes the snapshots within a write transaction on *db*."""

    def reserve(self, record: SnapshotRecord) -> None:
        """Reserve the record's id: ``plan`` never returns it again, even if the record is not added."""
        taken = self._db.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'snapshots'",
            (record.id,),
        )
        if not taken.rowcount:
            self._db.execute("INSERT INTO sqlite_sequence VALUES ('snapshots', ?)", (record.id,))

    def add(self, record: SnapshotRecord) -> None:
        """Add a planned record. Errors as for ``plan``."""
        info = record.info
        self.plan(info.kind, info.name, info.parent, info.labels)
        self._db.execute(
            "INSERT INTO snapshots (id, name, kind, parent, labels, created, updated) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(record.id, info.name, info.kind, record.parent_id, _dump(info.labels)),
                *(_text(info.created), _text(info.updated)),
            ),
        )

    def commit(self, key: str, name: str, usage: Usage, labels: Mapping[str, str]) -> None:
        """Turn the active snapshot *key* into the committed snapshot *name*, and replace its labels.

        Errors as for ``committable``.
        """
        record = self.committable(key, name)
        now = _now()
        self._db.execute(
            "UPDATE snapshots SET name = ?, kind = ?, labels = ?, created = ?, updated = ?, "
            "size = ?, inodes = ? WHERE id = ?",
            (name, Kind.COMMITTED, _dump(labels), now, now, usage.size, usage.inodes, record.id),
        )

    def remove(self, key: str) -> SnapshotRecord:
        """Delete a snapshot's row and return it. Errors as for ``removable``."""
        record = self.removable(key)
        self._db.execute("DELETE FROM snapshots WHERE id = ?", (record.id,))
        return record

    def defer(self, record: SnapshotRecord) -> None:
        """Record that the device of a removed snapshot waits for cleanup."""
        self._db.execute(
            "INSERT INTO removed VALUES (?, ?, ?)", (record.id, record.info.name, record.info.kind)
        )

    def forget(self, snapshot_id: int) -> None:
        """Remove the record of a device that waited for cleanup."""
        self._db.execute("DELETE FROM removed WHERE id = ?", (snapshot_id,))

    def update(self, info: Info, *fieldpaths: str) -> Info:
        """Replace all labels, or only those of ``labels.NAME`` paths; an empty value deletes its label.

        Raise NotFoundError if the snapshot does not exist, InvalidArgumentError for any other path.
        """
        record = self.get(info.name)
        labels: dict[str, str] = dict(record.info.labels) if fieldpaths else dict(info.labels)
        for path in fieldpaths:
            if path == "labels":
                labels = dict(info.labels)
            elif path.startswith("labels."):
                label = path.removeprefix("labels.")
                labels[label] = info.labels.get(label, "")
            else:
                raise InvalidArgumentError(
                    f"cannot update field {path!r} of snapshot {info.name!r}: only labels can change"
                )
        self._db.execute(
            "UPDATE snapshots SET labels = ?, updated = ? WHERE id = ?", (_dump(labels), _now(), record.id)
        )
        return self.get(info.name).info


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _dump(labels: Mapping[str, str]) -> str:
    return json.dumps({label: value for label, value in labels.items() if value}, sort_keys=True)


def _record(row: tuple[int, str, str, int | None, str, str, str, str, int, int]) -> SnapshotRecord:
    snapshot_id, name, kind, parent_id, parent, labels, created, updated, size, inodes = row
    info = Info(
        kind=Kind(kind),
        name=name,
        parent=parent,
        labels=json.loads(labels),
        created=datetime.fromisoformat(created),
        updated=datetime.fromisoformat(updated),
    )
    return SnapshotRecord(snapshot_id, parent_id, info, Usage(size, inodes))
