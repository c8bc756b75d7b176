"""`MetaStore` opens the store of snapshots and runs its transactions.

A transaction is short: it includes no device operation. A verb reads, acts on devices and then writes all
changes in one transaction. Readers see a snapshot as before the verb or after it, and a crash leaves the
state before the verb. containerd keeps one write transaction open during the device operations
(``core/snapshots/storage/metastore.go``, ``bolt.go``); readers and crashes see no difference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.snapshotter.database import Database, WatchWrites, unwatched
from thinsim.snapshotter.snapshot_tables import SCHEMA, SnapshotReader, SnapshotWriter


class MetaStore:
    """A `MetaStore` keeps the snapshots in the file *path*."""

    def __init__(self, path: Path, watch: WatchWrites = unwatched) -> None:
        self._db = Database(path, SCHEMA, version=1, watch=watch)

    @property
    def read(self) -> SnapshotReader:
        """Return a reader of the last commit. Calls without an ``await`` in between see one state."""
        return SnapshotReader(self._db)

    @contextmanager
    def write(self, what: str = "snapshots") -> Iterator[SnapshotWriter]:
        """Run the body as one transaction: durable when it ends, rolled back if it raises.

        *what* describes the transaction for the watcher. The body must not await: other readers would see
        uncommitted data.
        """
        with self._db.transaction(what):
            yield SnapshotWriter(self._db)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._db.close()
