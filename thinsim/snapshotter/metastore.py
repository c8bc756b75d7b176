"""The store of snapshots, and its transactions.

A write transaction stays open while the device operations of a verb run, and rolls back if one of
them fails: a snapshot exists only if its device does. Writers therefore wait for one another, device
operations included, as containerd's do for bbolt's write transaction
(``core/snapshots/storage/metastore.go``, ``bolt.go``). Readers see the last committed state meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.snapshotter.database import Database
from thinsim.snapshotter.snapshot_tables import SCHEMA, SnapshotReader, SnapshotWriter


class MetaStore:
    """The snapshots in the file *path*."""

    def __init__(self, path: Path) -> None:
        self._writing = Database(path, SCHEMA, version=1)
        # A second connection: it does not see what the open write transaction has not committed.
        self._reading = Database(path, SCHEMA, version=1)
        self._lock = trio.Lock()

    @property
    def read(self) -> SnapshotReader:
        """What is committed now. Several calls are one consistent view if nothing is awaited between them."""
        return SnapshotReader(self._reading)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SnapshotWriter]:
        """Run the body as one transaction: committed when it ends, rolled back if it raises.

        Waiting for one's turn can be cancelled. The body cannot: a device operation once begun is
        finished or undone, else its outcome would be known to neither store.
        """
        async with self._lock:
            with trio.CancelScope(shield=True), self._writing.transaction():
                yield SnapshotWriter(self._writing)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._writing.close()
        self._reading.close()
