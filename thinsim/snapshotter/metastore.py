"""Opens the store of snapshots, and its transactions.

A transaction is short: it holds no device operation. A verb reads, acts on devices and then writes all
that changes in one transaction, so that readers see a snapshot before the verb or after it, and a
crash leaves the state before. containerd keeps one write transaction open around the device operations
(``core/snapshots/storage/metastore.go``, ``bolt.go``), which comes to the same for readers and crashes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.snapshotter.database import Database, WatchWrites, unwatched
from thinsim.snapshotter.snapshot_tables import SCHEMA, SnapshotReader, SnapshotWriter


class MetaStore:
    """The snapshots in the file *path*."""

    def __init__(self, path: Path, watch: WatchWrites = unwatched) -> None:
        self._db = Database(path, SCHEMA, version=1, watch=watch)

    @property
    def read(self) -> SnapshotReader:
        """What is committed now. Several calls are one consistent view if nothing is awaited between them."""
        return SnapshotReader(self._db)

    @contextmanager
    def write(self, what: str = "snapshots") -> Iterator[SnapshotWriter]:
        """Run the body as one transaction, *what* in words: durable when it ends, rolled back if it raises.

        Nothing is awaited in it: others would read what is not committed.
        """
        with self._db.transaction(what):
            yield SnapshotWriter(self._db)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()
