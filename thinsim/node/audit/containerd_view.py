"""`find_view` finds the containerd that uses a pool, and reads its databases."""

from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import InvalidValueError
from thinsim.node.containerd.databases import (
    ROOT,
    ContainerdRecords,
    DatabaseFiles,
    find_databases,
    read_databases,
)
from thinsim.node.containerd.references import SnapshotReferences, references
from thinsim.node.containerd.settings import CONFIG, ContainerdSettings, read_settings
from thinsim.snapshotter.errors import InvalidConfigError


@dataclass(frozen=True, slots=True)
class ContainerdPlaces:
    """A `ContainerdPlaces` has the places that a user names; each may be None."""

    root: Path | None = None
    """containerd's root directory."""
    devmapper_root: Path | None = None
    """The root_path of its devmapper snapshotter."""
    config: Path | None = None
    """Its configuration."""

    @property
    def are_named(self) -> bool:
        """Return whether the user names any place, and so expects to find something there."""
        return any(each is not None for each in (self.root, self.devmapper_root, self.config))


@dataclass(frozen=True, slots=True)
class ContainerdView:
    """A `ContainerdView` has the records of a containerd below *root*, and what refers to each snapshot."""

    root: Path
    records: ContainerdRecords
    references: SnapshotReferences
    settings: ContainerdSettings | None = None
    """The settings for the pool, if its configuration was found."""


def find_view(places: ContainerdPlaces, pool: str | None) -> ContainerdView | None:
    """Return the view of the containerd that uses *pool*; None if no place is named and none has records.

    Raises what `read_settings`, `find_databases` and `read_databases` raise, if the user names a place.
    """
    settings = _settings(places, pool)
    root = places.root or (settings.root if settings else ROOT)
    devmapper_root = places.devmapper_root
    if devmapper_root is None and settings is not None and places.root is None:
        devmapper_root = settings.root_path
    try:
        files = find_databases(root, pool=pool, devmapper_root=devmapper_root)
    except InvalidValueError:
        if places.are_named:
            raise
        return None
    return _view(root, files, settings)


def _settings(places: ContainerdPlaces, pool: str | None) -> ContainerdSettings | None:
    if places.config is not None:
        return read_settings(places.config)
    if places.are_named or not CONFIG.exists():
        return None
    try:
        found = read_settings()
    except InvalidConfigError:  # it may have no devmapper table at all
        return None
    return found if pool in (None, found.pool_name) else None


def _view(root: Path, files: DatabaseFiles, settings: ContainerdSettings | None) -> ContainerdView:
    records = read_databases(files)
    return ContainerdView(root, records, references(records.metadata, records.snapshots), settings)
