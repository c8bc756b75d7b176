"""A place to unpack layers in, within a world that they must not change."""

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory within a world that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"untouched")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"
