"""A loop device is attached in one step, and only its own attachment is detached, at once or deferred."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thinsim.block import kernel_view, loop, loop_numbers
from thinsim.errors import KernelError

pytestmark = pytest.mark.rig

SIZE = 4 << 20


def backing(directory: Path, name: str = "backing", size: int = SIZE) -> Path:
    file = directory / name
    with file.open("xb") as made:
        made.truncate(size)
    return file


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[loop.LoopDevice]:
    device = loop.attach(backing(tmp_path))
    yield device
    loop.detach(device, deferred=True)


def test_an_attached_file_is_a_device_of_its_size(attached: loop.LoopDevice, tmp_path: Path) -> None:
    assert kernel_view.size(attached.path) == SIZE
    assert loop.is_attached(attached)
    assert attached.path == Path(f"/dev/loop{attached.number}")
    assert loop.attached_devices()[attached.path] == str(tmp_path / "backing")
    (found,) = loop.devices_of_file(tmp_path / "backing")
    assert found.path == attached.path
    assert loop.is_attached(found)


def test_detached_is_gone_and_detaching_again_does_nothing(tmp_path: Path) -> None:
    device = loop.attach(backing(tmp_path))
    assert loop.detach(device)
    assert not loop.is_attached(device)
    assert loop.detach(device)
    assert loop.devices_of_file(tmp_path / "backing") == []


def test_a_part_of_a_sector_is_left_out(tmp_path: Path) -> None:
    device = loop.attach(backing(tmp_path, size=SIZE + 700))
    try:
        assert kernel_view.size(device.path) == SIZE + 512
    finally:
        loop.detach(device)


def test_a_missing_file_is_enoent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        loop.attach(tmp_path / "missing")


def test_a_busy_device_stays_attached_and_usable(attached: loop.LoopDevice) -> None:
    fd = os.open(attached.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        assert kernel_view.is_claimed(attached.path)
        with pytest.raises(loop.LoopBusyError) as caught:
            loop.detach(attached)
        assert caught.value.errno == errno.EBUSY
        os.pwrite(fd, b"x" * 512, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    # The failed detach was undone, so the last close did not carry it out.
    assert loop.is_attached(attached)
    assert not kernel_view.is_claimed(attached.path)


def test_a_plain_open_keeps_a_device_busy(attached: loop.LoopDevice) -> None:
    fd = os.open(attached.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert not kernel_view.is_claimed(attached.path)
        with pytest.raises(loop.LoopBusyError):
            loop.detach(attached)
    finally:
        os.close(fd)
    assert loop.is_attached(attached)


def test_a_deferred_detach_happens_at_the_last_close(attached: loop.LoopDevice) -> None:
    fd = os.open(attached.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        assert not loop.detach(attached, deferred=True)
        assert loop.is_attached(attached)
    finally:
        os.close(fd)
    assert not loop.is_attached(attached)


def test_a_stale_attachment_does_not_detach_the_new_user_of_its_number(attached: loop.LoopDevice) -> None:
    stale = loop.LoopDevice(attached.path, attached.device, attached.inode + 1)
    assert not loop.is_attached(stale)
    assert loop.detach(stale)
    assert loop.detach(stale, deferred=True)
    assert loop.is_attached(attached)


def test_a_device_that_does_not_exist_counts_as_gone() -> None:
    ghost = loop.LoopDevice(Path("/dev/loop987654"), 1, 2)
    assert not loop.is_attached(ghost)
    assert not kernel_view.is_claimed(ghost.path)
    assert loop.detach(ghost)


def test_eight_threads_get_eight_devices(tmp_path: Path) -> None:
    files = [backing(tmp_path, f"file-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        devices = list(pool.map(loop.attach, files))
        try:
            assert len({device.path for device in devices}) == 8
            found = [[device.path for device in loop.devices_of_file(file)] for file in files]
            assert found == [[device.path] for device in devices]
        finally:
            assert all(pool.map(loop.detach, devices))


@pytest.fixture
def held_free(tmp_path: Path) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of a free loop device and the descriptor that claims it."""
    number = 5000 + os.getpid() % 1000
    loop.detach(loop.attach(backing(tmp_path, "first"), number=number))
    held = [os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_EXCL)]
    yield number, held
    for fd in held:
        os.close(fd)
    loop_numbers.remove(number)


def test_attaching_waits_for_a_short_probe_of_the_free_device(
    held_free: tuple[int, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, held = held_free
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 20:
            os.close(held.pop())

    monkeypatch.setattr(time, "sleep", wait)
    device = loop.attach(backing(tmp_path), number=number)
    assert len(waits) == 20
    assert loop.detach(device)


def test_attaching_names_the_free_device_that_stays_held(
    held_free: tuple[int, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, _ = held_free
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(KernelError, match=f"holds /dev/loop{number}, the free loop device for .*backing;"):
        loop.attach(backing(tmp_path), number=number)


def test_a_read_only_device_refuses_writes(tmp_path: Path) -> None:
    device = loop.attach(backing(tmp_path), read_only=True)
    try:
        assert (Path("/sys/block") / device.path.name / "ro").read_text().strip() == "1"
        os.close(os.open(device.path, os.O_RDONLY))
    finally:
        loop.detach(device)


@pytest.mark.alone
@pytest.mark.parametrize("busy", [False, True])
def test_the_next_user_of_a_read_only_number_can_write(tmp_path: Path, busy: bool) -> None:
    first, second = backing(tmp_path, "first"), backing(tmp_path, "second")
    device = loop.attach(first)
    loop.refresh(device, first, read_only=True)
    opened = os.open(device.path, os.O_RDONLY)
    if not busy:
        os.close(opened)
    assert loop.detach(device, deferred=True) is not busy
    if busy:
        os.close(opened)
        assert not loop.is_attached(device)
    # losetup does not reset the flag.
    subprocess.run(["losetup", device.path, second], check=True)
    (following,) = loop.devices_of_file(second)
    try:
        assert writes_are_refused(following) is None
    finally:
        loop.detach(following)


@pytest.mark.alone
def test_a_number_that_somebody_left_read_only_takes_writes_again(tmp_path: Path) -> None:
    device = loop.attach(backing(tmp_path, "first"))
    subprocess.run(["losetup", "--detach", device.path], check=True)
    subprocess.run(["blockdev", "--setro", device.path], check=True)
    following = loop.attach(backing(tmp_path, "second"), number=device.number)
    try:
        assert writes_are_refused(following) is None
    finally:
        loop.detach(following)


def test_a_device_that_can_not_be_detached_still_refuses_writes(
    attached: loop.LoopDevice, tmp_path: Path
) -> None:
    loop.refresh(attached, tmp_path / "backing", read_only=True)
    opened = os.open(attached.path, os.O_RDONLY)
    try:
        with pytest.raises(loop.LoopBusyError):
            loop.detach(attached)
        assert writes_are_refused(attached) == errno.EPERM
    finally:
        os.close(opened)


def writes_are_refused(device: loop.LoopDevice) -> int | None:
    """Return the errno of a write, or None if it succeeds."""
    fd = os.open(device.path, os.O_RDWR)
    try:
        os.pwrite(fd, bytes(4096), 0)
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)
    return None


def test_a_device_has_the_requested_block_size(tmp_path: Path) -> None:
    device = loop.attach(backing(tmp_path), block_size=4096)
    try:
        queue = Path("/sys/block") / device.path.name / "queue/logical_block_size"
        assert int(queue.read_text()) == 4096
    finally:
        loop.detach(device)


def test_discard_limits_come_from_the_file_system(attached: loop.LoopDevice, tmp_path: Path) -> None:
    limits = kernel_view.discard_limits(attached.path)
    assert limits.granularity == os.statvfs(tmp_path).f_bsize
    assert limits.max_bytes > 0


def test_traffic_counts_writes(attached: loop.LoopDevice) -> None:
    before = kernel_view.traffic(attached.path)
    fd = os.open(attached.path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, b"x" * 65536, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    assert kernel_view.traffic(attached.path).written_bytes - before.written_bytes == 65536
