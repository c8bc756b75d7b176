"""Unpacking can be aborted at any moment, and leaves no descriptor open."""

import gc
import io
from pathlib import Path

import pytest

from tests.workload.image.tar_members import member, symlink, tar
from thinsim.workload.image import InvalidImageError, unpack_layer


def test_an_exception_from_the_progress_callback_ends_the_unpacking_at_once(root: Path) -> None:
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
        gc.collect()  # so that descriptors of earlier tests are not closed between two counts
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    unpack_layer(tar(member("a/b/f"), symlink("s", "/a"), member("s/../s/b/g")), root)
    unpack_layer(tar(member("a/.wh..wh..opq"), member("x")), root)
    with pytest.raises(InvalidImageError):
        unpack_layer(tar(member("x/y")), root)
    assert opened() == before


def test_unpacking_can_be_aborted_in_the_data_after_the_end_of_a_layer(root: Path) -> None:
    class EnoughError(Exception):
        pass

    class EndlessLayer(io.RawIOBase):
        """An endless stream returns zeros forever after the end of a layer."""

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
