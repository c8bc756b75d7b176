"""`recorded` reads the records of a containerd from the recorded databases."""

from pathlib import Path

from tests.node.containerd.recorded_databases import unpacked
from thinsim.node.containerd.databases import ContainerdRecords, DatabaseFiles, read_databases


def recorded(series: str, directory: Path) -> ContainerdRecords:
    """Return the records that a containerd of *series* wrote."""
    paths = [unpacked(series, name, directory) for name in ("meta.db", "metadata.db", "pool.db")]
    return read_databases(DatabaseFiles(*paths, "pool"))
