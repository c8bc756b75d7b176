"""`RECORDED` has databases that containerd wrote; tools/record_containerd_databases.py records them."""

import gzip
import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
SERIES = ("1.6", "1.7", "2.1")


def unpacked(series: str, name: str, directory: Path) -> Path:
    """Write the recorded database *name* to *directory*, uncompressed; return its path."""
    path = directory / name
    path.write_bytes(gzip.decompress((RECORDED / f"{series}-{name}.gz").read_bytes()))
    return path


def answers(series: str) -> dict[str, Any]:
    """Return the output of ctr by namespace."""
    found = json.loads((RECORDED / f"{series}-ctr.json").read_text())["namespaces"]
    assert isinstance(found, dict)
    return found
