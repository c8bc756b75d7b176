"""A block history reads back as it was saved, and other files are refused."""

import gzip
import json
from pathlib import Path

import pytest

from thinsim.dm.write_trace import TracedWrite
from thinsim.errors import InvalidValueError
from thinsim.workload.block_history import BUNDLED, BlockHistory


def test_a_history_reads_back_as_it_was_saved_and_the_same_one_gives_the_same_bytes(tmp_path: Path) -> None:
    history = BlockHistory("512MB", 7, "image", 1, {"mkfs a": [TracedWrite("a", "write", 0, 4096)]})
    history.save(tmp_path / "one")
    history.save(tmp_path / "two")
    assert BlockHistory.load(tmp_path / "one") == history
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_bundled_history_is_of_the_default_scenario() -> None:
    history = BlockHistory.load(BUNDLED)
    assert (history.base_image_size, history.container_bytes) == ("512MB", 100 << 20)
    assert sum(act.startswith("unpack") for act in history.acts) == history.layers > 1
    written = {
        act: sum(w.length for w in writes if w.operation == "write") for act, writes in history.acts.items()
    }
    assert sum(size for act, size in written.items() if act.startswith("unpack")) >= 100 << 20
    assert sum(size for act, size in written.items() if act.startswith("container")) >= 100 << 20


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a block history"),
        (b"plain text", "not a block history"),
        (gzip.compress(b"{", mtime=0), "not a block history"),
        (gzip.compress(b"[]", mtime=0), "not a block history"),
        (gzip.compress(json.dumps({"format": 9}).encode(), mtime=0), "format 9"),
        (gzip.compress(json.dumps({"format": 1}).encode(), mtime=0), "base_image_size"),
        (gzip.compress(b"x" * 999, mtime=0)[:-9], "not a block history"),
    ],
)
def test_a_file_that_is_not_a_history_is_refused_by_name(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "history.json.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match=complaint) as refusal:
        BlockHistory.load(path)
    assert str(path) in str(refusal.value)


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="no such block history"):
        BlockHistory.load(tmp_path / "none")
