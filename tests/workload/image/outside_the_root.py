"""`outside` lists the files next to the directory of the fixture ``root``."""

from pathlib import Path


def outside(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root.parent)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.parent.rglob("*"))
        if not path.is_relative_to(root)
    }


UNTOUCHED = {"outside": b"", "outside/file": b"untouched"}
"""Files outside the root before a layer is unpacked."""
