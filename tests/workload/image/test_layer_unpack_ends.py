"""Unpacking can be given up at any moment, and leaves no descriptor open."""

import gc
import io
from pathlib import Path

import pytest

from tests.workload.image.tar_members import member, symlink, tar
from thinsim.workload.image import InvalidImageError, unpack_layer


def test_what_the_progress_callback_raises_ends_the_unpacking_at_once(root: Path) -> None:
    seen = []

    def stop_at_two(done: int) -> None:
        seen.append(done)
        if done >= 2 << 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_layer(tar(member("f", bytes(5 << 20))), root, progress=stop_at_two)
    assert seen == [0, 1 << 20, 2 << 20]


def test_no_descriptor_is_left_open(root: Path) -> None:
    def opened() -> int:
        gc.collect()  # what earlier tests left must not be closed between two counts
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    unpack_layer(tar(member("a/b/f"), symlink("s", "/a"), member("s/../s/b/g")), root)
    unpack_layer(tar(member("a/.wh..wh..opq"), member("x")), root)
    with pytest.raises(InvalidImageError):
        unpack_layer(tar(member("x/y")), root)
    assert opened() == before


def test_what_follows_the_end_of_a_layer_can_be_given_up(root: Path) -> None:
    class EnoughError(Exception):
        pass

    class EndlessLayer(io.RawIOBase):
        """A layer behind whose end there are zeros for ever."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    calls = 0

    def progress(done: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        unpack_layer(io.BufferedReader(EndlessLayer()), root, progress=progress)
