"""`DeviceStore` records the thin id and the state of each device of the pool.

Each call is a durable transaction, separate from the snapshots' store: its writes stay when a snapshot's
transaction rolls back. This is containerd's design (``plugins/snapshots/devmapper/metadata.go``), and
its crash repair depends on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from thinsim.snapshotter.database import Database, WatchWrites, unwatched
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from thinsim.thin.ids import MAX_THIN_ID


class ThinIdState(IntEnum):
    """A `ThinIdState` is containerd's ``deviceIDState`` of one thin id."""

    FREE = 0
    TAKEN = 1
    FAULTY = 2
    """Never allocated again: the pool may or may not have this thin id."""


# devices: one row per device that has not been forgotten.
#   name         device-mapper name, "<pool>-snap-<snapshot id>"
#   thin_id      its id in the pool; never changes
#   size         virtual size, bytes
#   parent_name  device it is a snapshot of, or ''
#   state        DeviceState; an -ing state is an intent without a result yet
#   error        error text of the last act, or '' if it succeeded
#   discarded    1 once a discard of all its content has begun: the device can only be removed
# holding: one row while this snapshotter may hold the pool's metadata snapshot.
# thin_ids: every id ever allocated, from 1, without gaps.
#   state        0 free, 1 taken, 2 faulty (never allocated again)
# free_thin_ids orders the free ones as bbolt orders its keys: as text ("1" "10" "2").
_SCHEMA = """
CREATE TABLE devices (
    name TEXT PRIMARY KEY CHECK (name <> ''),
    thin_id INTEGER NOT NULL REFERENCES thin_ids,
    size INTEGER NOT NULL,
    parent_name TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT NOT NULL,
    discarded INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE holding (metadata_snapshot INTEGER PRIMARY KEY);
CREATE TABLE thin_ids (
    thin_id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2))
);
CREATE INDEX free_thin_ids ON thin_ids (CAST(thin_id AS TEXT)) WHERE state = 0
"""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A `DeviceRecord` describes one device of the pool.

    *size* is virtual, in bytes. *error* is the error text of the last act, empty if it succeeded.
    *discarded* is set once a discard of all the content has begun, finished or not.
    """

    name: str
    thin_id: int
    size: int
    parent_name: str = ""
    state: DeviceState = DeviceState.UNKNOWN
    error: str = ""
    discarded: bool = False


class DeviceStore:
    """A `DeviceStore` keeps the devices and thin ids of one pool in the file *path*."""

    def __init__(self, path: Path, watch: WatchWrites = unwatched) -> None:
        self._db = Database(path, _SCHEMA, version=2, watch=watch)

    def add(self, name: str, size: int, parent_name: str = "") -> DeviceRecord:
        """Record a new device in state Unknown and allocate a thin id for it.

        A Faulty record of that name is replaced, and its thin id stays faulty. Raise AlreadyExistsError for
        a record in any other state, FailedPreconditionError when no thin id is left.
        """
        if not name:
            raise InvalidArgumentError("a device needs a name")
        with self._db.transaction(f"{name} gets a thin id"):
            existing = self._find(name)
            if existing is not None and existing.state is not DeviceState.FAULTY:
                raise AlreadyExistsError(
                    f"device {name!r} exists already (thin id {existing.thin_id}, {existing.state})"
                )
            record = DeviceRecord(name, self._take_thin_id(), size, parent_name)
            self._db.execute(
                f"INSERT OR REPLACE INTO devices ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 0)",
                (name, record.thin_id, size, parent_name, record.state, record.error),
            )
        return record

    def get(self, name: str) -> DeviceRecord:
        """Return the record of *name*. Raise NotFoundError if there is none."""
        record = self._find(name)
        if record is None:
            raise NotFoundError(f"no device {name!r} in the pool's metadata")
        return record

    def devices(self) -> Sequence[DeviceRecord]:
        """Return all devices, sorted by name."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM devices ORDER BY name")
        return [_record(row) for row in rows]

    def set_state(self, name: str, state: DeviceState) -> None:
        """Record *state* and keep the error text. Raise NotFoundError."""
        with self._db.transaction(f"{name} {state}"):
            self.get(name)
            self._db.execute("UPDATE devices SET state = ? WHERE name = ?", (state, name))

    def set_result(self, name: str, state: DeviceState) -> None:
        """Record *state* and clear the error text: the last act succeeded. Raise NotFoundError."""
        with self._db.transaction(f"{name} {state}"):
            self.get(name)
            self._db.execute("UPDATE devices SET state = ?, error = '' WHERE name = ?", (state, name))

    def set_error(self, name: str, text: str) -> None:
        """Record the error text of the last act; the state stays at the intent. Raise NotFoundError."""
        with self._db.transaction(f"error of {name}"):
            self.get(name)
            self._db.execute("UPDATE devices SET error = ? WHERE name = ?", (text, name))

    def mark_faulty(self, name: str, error: str = "") -> None:
        """Mark the device and its thin id as faulty. *error*, if not empty, replaces the error text.

        Raise NotFoundError.
        """
        with self._db.transaction(f"{name} {DeviceState.FAULTY}"):
            record = self.get(name)
            self._db.execute(
                "UPDATE devices SET state = ?, error = ? WHERE name = ?",
                (DeviceState.FAULTY, error or record.error, name),
            )
            self._mark_thin_id(record.thin_id, ThinIdState.FAULTY)

    def remove(self, name: str) -> None:
        """Forget a device that is gone from the pool, and free its thin id. Raise NotFoundError."""
        with self._db.transaction(f"forget {name}"):
            record = self.get(name)
            self._db.execute("DELETE FROM devices WHERE name = ?", (name,))
            self._mark_thin_id(record.thin_id, ThinIdState.FREE)

    def thin_ids(self) -> Mapping[int, ThinIdState]:
        """Return the state of every thin id ever allocated."""
        rows = self._db.execute("SELECT thin_id, state FROM thin_ids ORDER BY thin_id")
        return {thin_id: ThinIdState(state) for thin_id, state in rows}

    def mark_discarded(self, name: str) -> None:
        """Record that a discard of the whole device begins. Raise NotFoundError."""
        if not self.get(name).discarded:
            with self._db.transaction(f"{name} is discarded"):
                self._db.execute("UPDATE devices SET discarded = 1 WHERE name = ?", (name,))

    @property
    def holds_metadata_snapshot(self) -> bool:
        """Return whether this snapshotter, or a killed one before it, may hold a metadata snapshot."""
        return self._db.execute("SELECT 1 FROM holding").fetchone() is not None

    @holds_metadata_snapshot.setter
    def holds_metadata_snapshot(self, held: bool) -> None:
        with self._db.transaction("hold the metadata snapshot" if held else "release the metadata snapshot"):
            self._db.execute("INSERT INTO holding VALUES (1)" if held else "DELETE FROM holding")

    # The methods below serve the repair after a crash.

    def redeem(self, name: str, state: DeviceState) -> None:
        """Record that a faulty device is in *state* and its thin id taken. Raise NotFoundError."""
        with self._db.transaction(f"{name} {state} again"):
            record = self.get(name)
            self._db.execute("UPDATE devices SET state = ?, error = '' WHERE name = ?", (state, name))
            self._mark_thin_id(record.thin_id, ThinIdState.TAKEN)

    def adopt(self, name: str, thin_id: int, size: int) -> DeviceRecord:
        """Record a device for an unrecorded thin id. Raise AlreadyExistsError if *name* is taken."""
        with self._db.transaction(f"adopt {name}"):
            if self._find(name) is not None:
                raise AlreadyExistsError(f"device {name!r} exists already")
            record = DeviceRecord(name, thin_id, size, state=DeviceState.CREATED)
            self._mark_thin_id(thin_id, ThinIdState.TAKEN)
            self._db.execute(
                f"INSERT INTO devices ({_COLUMNS}) VALUES (?, ?, ?, '', ?, '', 0)",
                (name, thin_id, size, record.state),
            )
        return record

    def free(self, thin_id: int) -> None:
        """Mark a thin id that the pool does not have as free."""
        with self._db.transaction(f"free thin id {thin_id}"):
            self._mark_thin_id(thin_id, ThinIdState.FREE)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._db.close()

    def _find(self, name: str) -> DeviceRecord | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM devices WHERE name = ?", (name,)).fetchone()
        return None if row is None else _record(row)

    def _take_thin_id(self) -> int:
        # The order of reuse decides which thin ids a sequence of verbs ends with, so it must be bbolt's.
        row = self._db.execute(
            "SELECT thin_id FROM thin_ids WHERE state = 0 ORDER BY CAST(thin_id AS TEXT) LIMIT 1"
        ).fetchone()
        if row is None:
            row = self._db.execute("SELECT coalesce(max(thin_id), 0) + 1 FROM thin_ids").fetchone()
        thin_id = int(row[0])
        # The last thin id is never allocated (metadata.go).
        if thin_id >= MAX_THIN_ID:
            raise FailedPreconditionError(f"no thin id is free: all {MAX_THIN_ID - 1} are taken or faulty")
        self._mark_thin_id(thin_id, ThinIdState.TAKEN)
        return thin_id

    def _mark_thin_id(self, thin_id: int, state: ThinIdState) -> None:
        self._db.execute(
            "INSERT INTO thin_ids VALUES (?, ?) ON CONFLICT (thin_id) DO UPDATE SET state = excluded.state",
            (thin_id, state),
        )


_COLUMNS = "name, thin_id, size, parent_name, state, error, discarded"


def _record(row: tuple[str, int, int, str, str, str, int]) -> DeviceRecord:
    name, thin_id, size, parent_name, state, error, discarded = row
    return DeviceRecord(name, thin_id, size, parent_name, DeviceState(state), error, bool(discarded))
