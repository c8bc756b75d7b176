"""A walk up and down a tree has only one descriptor open at any depth."""

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import removed
from thinsim.workload.image.tree import Tree, remove
from thinsim.workload.image.walk import Walk

DEPTH = 3000
"""Number of levels: more than descriptors, than Python's recursion limit, than names in PATH_MAX."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "root").mkdir()
    with removed(tmp_path / "root") as directory:
        yield directory


def opened(root: Path) -> Walk:
    return Walk(os.open(root, os.O_RDONLY | os.O_DIRECTORY))


def descriptors() -> int:
    gc.collect()  # so that descriptors of earlier tests are not closed between two counts
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_walk_holds_one_descriptor_and_comes_back(root: Path) -> None:
    before = descriptors()
    walk = opened(root)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=walk.fd)
        walk.enter("d")
    assert (descriptors(), len(walk.names), walk.length) == (before + 1, DEPTH, 2 * DEPTH)
    walk.leave(DEPTH)
    assert (os.fstat(walk.fd).st_ino, walk.names, walk.length) == (root.stat().st_ino, [], 0)
    remove(walk.fd, "d")
    assert os.listdir(walk.fd) == []  # noqa: PTH208 -- open, not a path
    walk.close()
    assert descriptors() == before


def test_a_walk_does_not_follow_symlinks(root: Path) -> None:
    (root / "s").symlink_to("/")
    walk = opened(root)
    with pytest.raises(OSError, match="s") as caught:
        walk.enter("s")
    walk.close()
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_a_walk_does_not_leave_a_directory_that_was_moved_for_another(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "c").mkdir()
    walk = opened(root)
    walk.enter("a")
    walk.enter("b")
    (root / "a/b").rename(root / "c/b")
    with pytest.raises(OSError, match="moved while thinsim was in it: b") as caught:
        walk.leave()
    walk.close()
    assert caught.value.errno == errno.ESTALE


def test_a_symlink_through_a_missing_directory_does_not_make_it(root: Path) -> None:
    (root / "s").symlink_to("absent/../d")
    with Tree(root) as tree:
        tree.go_to("s/e", create=True)
        assert list(tree.names) == ["d", "e"]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/e", "s"]
