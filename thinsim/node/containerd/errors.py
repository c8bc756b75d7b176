"""Each error of reading a database of containerd names the file, the place in it, and the fault.

::

    ThinsimError
    ├── DamagedDatabaseError      the file is not a bbolt database, or a page or a record of it is damaged
    ├── ChangingDatabaseError     containerd wrote so often that no copy shows one transaction
    └── InvalidValueError
        └── UnknownSchemaError    the database is sound, and its records are not those that thinsim knows
"""

from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import InvalidValueError, ThinsimError

_LONGEST_NAME = 80


class DamagedDatabaseError(ThinsimError):
    """A `DamagedDatabaseError` means that *path* has a *fault* at *place*, a page or the path of a record."""

    def __init__(self, path: Path, place: str, fault: str) -> None:
        super().__init__(f"{path}: {place}: {fault}" if place else f"{path}: {fault}")
        self.path = path
        self.place = place
        self.fault = fault


class ChangingDatabaseError(ThinsimError):
    """A `ChangingDatabaseError` means that containerd committed a transaction during each try to read."""

    def __init__(self, path: Path, tries: int) -> None:
        super().__init__(
            f"{path}: containerd committed a transaction during each of {tries} reads; "
            "try again when it is less busy"
        )
        self.path = path


class UnknownSchemaError(InvalidValueError):
    """An `UnknownSchemaError` means that *path* is a bbolt database with records of another kind."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path}: {fault}")
        self.path = path


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """A `DatabasePlace` is a place in the database *path*: a page, or the names of buckets down to a key."""

    path: Path
    name: str = ""

    def within(self, key: bytes) -> "DatabasePlace":
        """Return the place of *key* in the bucket at this place."""
        name = key.decode(errors="backslashreplace")
        if len(name) > _LONGEST_NAME:
            name = f"{name[:_LONGEST_NAME]}..."
        return DatabasePlace(self.path, f"{self.name}/{name}" if self.name else name)

    def damaged(self, fault: str) -> DamagedDatabaseError:
        """Return the error for *fault* at this place."""
        return DamagedDatabaseError(self.path, self.name, fault)
