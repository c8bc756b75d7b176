"""Sparse files, loop devices on them, and the files below loop devices keep one contract of block devices."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fuse_backing.ledger import Ledger
from thinsim.block import kernel_view, loop
from thinsim.block.interface import BlockDevice
from thinsim.block.linux import LinuxBlockDevice
from thinsim.block.loop_file import FileBelow, open_loop_file
from thinsim.block.sparse import SparseBlockDevice
from thinsim.errors import InvalidValueError

SIZE = 16 << 20
MIB = 1 << 20


@pytest.fixture
def loop_path(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "backing"
    with file.open("xb") as made:
        made.truncate(SIZE)
    attached = loop.attach(file)
    yield attached.path
    loop.detach(attached)


@pytest.fixture(
    params=["sparse", *(pytest.param(name, marks=pytest.mark.rig) for name in ("linux", "below"))]
)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockDevice]:
    opened: BlockDevice
    if request.param == "sparse":
        opened = SparseBlockDevice.create(tmp_path / "sparse", SIZE)
    else:
        opened = LinuxBlockDevice(request.getfixturevalue("loop_path"))
    file = -1
    if request.param == "below":
        file = open_loop_file(request.getfixturevalue("loop_path"))
        opened = FileBelow(opened, file)
    yield opened
    opened.close()
    if file >= 0:
        os.close(file)


def failure(function: Callable[..., object], *arguments: object) -> int | None:
    with pytest.raises(OSError, match=r"\[Errno \d+\]") as caught:
        function(*arguments)
    return caught.value.errno


def test_a_new_device_is_zeros_of_its_size(device: BlockDevice) -> None:
    assert device.size == SIZE
    assert device.read(0, SIZE) == bytes(SIZE)


def test_written_data_is_read(device: BlockDevice) -> None:
    first, second = os.urandom(512), os.urandom(8192)
    device.write(0, first)
    device.write(SIZE - 8192, memoryview(second))
    assert device.read(0, 1024) == first + bytes(512)
    assert device.read(SIZE - 8192, 8192) == second
    device.flush()


def test_requests_of_three_mebibytes(device: BlockDevice) -> None:
    content = os.urandom(3 * MIB + 512)
    device.write(1024, content)
    assert device.read(1024, len(content)) == content
    assert device.read(0, 1024) == bytes(1024)


def test_a_discarded_range_reads_as_zeros(device: BlockDevice) -> None:
    content = os.urandom(MIB)
    device.write(0, content)
    assert device.max_discard_bytes >= MIB
    device.discard(65536, 131072)
    assert device.read(0, MIB) == content[:65536] + bytes(131072) + content[65536 + 131072 :]


@pytest.mark.parametrize("offset", [SIZE - 512, SIZE, SIZE + 4096])
def test_past_the_end_is_an_error_that_changes_nothing(device: BlockDevice, offset: int) -> None:
    assert failure(device.read, offset, 1024) == errno.EIO
    assert failure(device.write, offset, b"x" * 1024) == errno.EIO
    assert failure(device.discard, offset, 1024) == errno.EINVAL
    assert device.size == SIZE
    assert device.read(SIZE - 512, 512) == bytes(512)


def test_empty_reads_and_writes_succeed(device: BlockDevice) -> None:
    assert device.read(512, 0) == b""
    device.write(512, b"")


def test_threads_in_parallel_meet_only_their_own_ranges(device: BlockDevice) -> None:
    contents = [os.urandom(2 * MIB) for _ in range(8)]

    def fill(number: int) -> bytes:
        for offset in range(0, 2 * MIB, 65536 * 3):
            device.write(number * 2 * MIB + offset, contents[number][offset : offset + 65536 * 3])
        return device.read(number * 2 * MIB, 2 * MIB)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fill, range(8))) == contents


def test_closing_twice_is_no_error(device: BlockDevice) -> None:
    device.close()
    device.close()


@pytest.mark.rig
def test_a_kernel_device_is_claimed_until_closed(loop_path: Path) -> None:
    device = LinuxBlockDevice(loop_path)
    assert failure(LinuxBlockDevice, loop_path) == errno.EBUSY
    assert kernel_view.is_claimed(loop_path)
    device.close()
    assert not kernel_view.is_claimed(loop_path)
    LinuxBlockDevice(loop_path).close()


def test_a_file_is_not_a_kernel_device(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    with pytest.raises(InvalidValueError, match="not a block device"):
        LinuxBlockDevice(file)
    assert failure(LinuxBlockDevice, tmp_path / "missing") == errno.ENOENT


def test_a_sparse_device_is_created_once(tmp_path: Path) -> None:
    SparseBlockDevice.create(tmp_path / "sparse", SIZE).close()
    assert failure(SparseBlockDevice.create, tmp_path / "sparse", SIZE) == errno.EEXIST


def test_a_sparse_device_counts_and_its_discards_are_in_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger()
    device = SparseBlockDevice.create(tmp_path / "sparse", SIZE, ledger)
    device.write(0, os.urandom(MIB))
    device.flush()
    assert device.written == MIB
    device.discard(0, 65536)
    device.discard(2 * MIB, 65536)
    assert (ledger.totals.events, ledger.totals.punched_bytes, ledger.totals.freed) == (2, 131072, 65536)
    device.close()
