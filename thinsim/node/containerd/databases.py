"""`find_databases` finds the databases of a containerd; `read_databases` reads them at one moment.

containerd keeps each plugin's files in a directory with the plugin's name below its root
(containerd.toml, root). The devmapper snapshotter's directory may be elsewhere, at its root_path
(plugins/snapshots/devmapper/config.go).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bolt_copy import newest_transaction
from thinsim.node.containerd.errors import ChangingDatabaseError
from thinsim.node.containerd.former_records import FormerRecords, former_records
from thinsim.node.containerd.namespace_records import ContainerdMetadata, metadata_of
from thinsim.node.containerd.pool_records import RecordedPool, pool_of
from thinsim.node.containerd.snapshot_records import BackendSnapshot, snapshots_of

ROOT: Final = Path("/var/lib/containerd")
"""containerd's root directory unless its configuration names another."""

_METADATA = "io.containerd.metadata.v1.bolt"
_DEVMAPPER = "io.containerd.snapshotter.v1.devmapper"
_SNAPSHOTS = "metadata.db"
_TRIES = 100
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class DatabaseFiles:
    """A `DatabaseFiles` has the paths of the databases of a containerd and of its devmapper pool."""

    metadata: Path
    """containerd's meta.db."""
    snapshots: Path
    """The snapshotter's metadata.db."""
    pool: Path
    """The pool's POOL.db."""
    pool_name: str


@dataclass(frozen=True, slots=True)
class ContainerdRecords:
    """A `ContainerdRecords` has the records of the three databases, all of the same moment."""

    metadata: ContainerdMetadata
    snapshots: dict[str, BackendSnapshot]
    """The snapshots of the devmapper snapshotter by key."""
    pool: RecordedPool
    passed_over: tuple[str, ...]
    """The faults of meta pages that were passed over, each with its file."""
    former: FormerRecords = field(default_factory=FormerRecords)
    """The records that were removed, as far as the files still show them."""


def find_databases(
    root: Path = ROOT, *, pool: str | None = None, devmapper_root: Path | None = None
) -> DatabaseFiles:
    """Return the paths of the databases below *root*, containerd's root directory.

    *pool* is needed if the snapshotter has had several pools; *devmapper_root* is its root_path, unless
    that is the default. InvalidValueError names each missing file and the reason, and EnvironmentLacksError
    the first place that only root may look into.
    """
    directory = devmapper_root if devmapper_root is not None else root / _DEVMAPPER
    with _permitted():
        return _found(root, directory, pool)


@contextmanager
def _permitted() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise EnvironmentLacksError(
            f"cannot read {error.filename}: {error.strerror} (containerd's files need root)"
        ) from None


def _found(root: Path, directory: Path, pool: str | None) -> DatabaseFiles:
    names = _pools_in(directory)
    if pool is None and len(names) > 1:
        raise InvalidValueError(
            f"{directory} has the databases of {len(names)} pools, so name one: {', '.join(names)}"
        )
    pool_name = pool or (names[0] if names else "POOL")
    files = DatabaseFiles(
        root / _METADATA / "meta.db", directory / _SNAPSHOTS, directory / f"{pool_name}.db", pool_name
    )
    missing = list(_missing(root, directory, files, names))
    if missing:
        raise InvalidValueError("; ".join(missing))
    return files


def read_databases(files: DatabaseFiles) -> ContainerdRecords:
    """Return the records of *files* as they were at one moment, though containerd may be writing.

    All three files are read, and then their newest transactions compared with those that were read. If
    none is newer, each state was the newest one between the last read and the first comparison. Raise
    what `read_database` raises, EnvironmentLacksError without the rights, UnknownSchemaError, and
    ChangingDatabaseError if there was no such moment.
    """
    paths = (files.metadata, files.snapshots, files.pool)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        with _permitted():
            found = [read_database(path) for path in paths]
        if all(newest_transaction(each.path) == each.transaction for each in found):
            return _records(*found)
    raise ChangingDatabaseError(files.metadata.parent.parent, _TRIES)


def _records(metadata: BoltDatabase, snapshots: BoltDatabase, pool: BoltDatabase) -> ContainerdRecords:
    return ContainerdRecords(
        metadata_of(metadata),
        dict(snapshots_of(snapshots)),
        pool_of(pool),
        tuple(each.passed_over for each in (metadata, snapshots, pool) if each.passed_over),
        former_records(metadata, snapshots, pool),
    )


def _pools_in(directory: Path) -> list[str]:
    return sorted(path.stem for path in directory.glob("*.db") if path.name != _SNAPSHOTS)


def _missing(root: Path, directory: Path, files: DatabaseFiles, names: list[str]) -> list[str]:
    if not root.is_dir():
        return [f"{root} does not exist; name containerd's root directory, root in its configuration"]
    found = []
    if not files.metadata.exists():
        found.append(f"{files.metadata} does not exist: {root} is not the root directory of a containerd")
    if not directory.is_dir():
        found.append(
            f"{directory} does not exist: the devmapper snapshotter has never run, "
            "or its configuration has another root_path"
        )
        return found
    if not files.snapshots.exists():
        found.append(f"{files.snapshots} does not exist: the devmapper snapshotter has no snapshot yet")
    if not files.pool.exists():
        others = f"the pools there are {', '.join(names)}" if names else "no pool has been used there"
        found.append(f"{files.pool} does not exist: {others}")
    return found
