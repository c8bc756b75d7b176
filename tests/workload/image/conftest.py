"""The fixture ``root`` is a directory to unpack layers in, next to files that they must not change."""

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory next to files that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"untouched")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"
