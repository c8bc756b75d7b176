"""A `Database` is a durable SQLite file with a versioned schema.

Every commit is on disk when it returns (``synchronous=FULL``): a record of intent is worth nothing if a
crash can undo it after the act. The write-ahead log lets readers see the last commit while a write
transaction is open. Calls run on trio's thread, since each touches only a few rows.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError, SnapshotterError

WatchWrites = Callable[[str], None]
"""Called with the description of a transaction right before it is committed."""


def unwatched(write: str) -> None:
    """Do nothing."""


class Database:
    """A `Database` is a connection to the file *path*; the first connection creates the tables of *schema*.

    The file records *version*. The constructor raises SnapshotterError for a file with another version.
    *watch* is called with each transaction's description right before its commit.
    """

    def __init__(self, path: Path, schema: str, version: int, watch: WatchWrites = unwatched) -> None:
        self._path = path
        self._watch = watch
        self._connection: sqlite3.Connection | None = sqlite3.connect(path, isolation_level=None)
        try:
            self._prepare(schema, version)
        except BaseException:
            self.close()
            raise

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement. Raise FailedPreconditionError if the database is closed."""
        if self._connection is None:
            raise FailedPreconditionError(f"{self._path.name} is closed")
        return self._connection.execute(statement, parameters)

    @contextmanager
    def transaction(self, write: str) -> Iterator[None]:
        """Commit the body's writes, or roll them back if it raises. *write* describes them to *watch*."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._watch(write)
            self.execute("COMMIT")
        except BaseException:
            # After some failures, such as a full disk, SQLite has already rolled back.
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _prepare(self, schema: str, version: int) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self.execute(f"PRAGMA {pragma}")
        with self.transaction("schema"):
            found = self.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in schema.split(";"):
                    self.execute(statement)
                self.execute(f"PRAGMA user_version = {version}")
            elif found != version:
                raise SnapshotterError(
                    f"{self._path} has schema version {found}; this thinsim reads version {version}"
                )
