"""Opens a durable SQLite file with a versioned schema.

Every commit is on disk when it returns (``synchronous=FULL``), for a record of intent is worth
nothing if a crash can take it back after the act. The write-ahead log lets readers see the last
commit while a write transaction is open. Calls are inline: each is a few rows.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError, SnapshotterError

WatchWrites = Callable[[str], None]
"""Called with what a transaction writes when all but its commit is done."""


def unwatched(write: str) -> None:
    """Watch nothing."""


class Database:
    """One connection to *path*; the first one makes the tables of *schema*.

    *version* is kept in the file; another one raises SnapshotterError. *watch* is told of each
    transaction right before it is committed.
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
        """Run one statement. FailedPreconditionError once closed."""
        if self._connection is None:
            raise FailedPreconditionError(f"{self._path.name} is closed")
        return self._connection.execute(statement, parameters)

    @contextmanager
    def transaction(self, write: str) -> Iterator[None]:
        """Commit what the body writes, *write* in words, or roll all of it back if it raises."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._watch(write)
            self.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some failures, a full disk among them.
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
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
