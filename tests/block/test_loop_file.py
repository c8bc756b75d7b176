"""The file under a loop device is opened only where its bytes are those of the device."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thinsim.block.linux import LinuxBlockDevice
from thinsim.block.loop_file import FileBelow, open_loop_file
from thinsim.errors import EnvironmentLacksError

pytestmark = pytest.mark.rig


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Callable[..., tuple[Path, Path]]]:
    """Return a function that attaches a new file with options of losetup, and returns file and device."""
    devices: list[str] = []

    def attach(*options: str) -> tuple[Path, Path]:
        file = tmp_path / f"file-{len(devices)}"
        file.write_bytes(bytes(1 << 20))
        words = ["losetup", "--find", "--show", *options, str(file)]
        devices.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip())
        return file, Path(devices[-1])

    yield attach
    for device in devices:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_the_file_has_what_is_written_to_the_device(attached: Callable[..., tuple[Path, Path]]) -> None:
    file, device = attached()
    fd = open_loop_file(device)
    try:
        assert os.fstat(fd).st_ino == file.stat().st_ino
        with device.open("r+b", buffering=0) as node:
            node.write(b"x" * 4096)
            os.fsync(node)
        assert os.pread(fd, 4096, 0) == b"x" * 4096
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--offset", "4096"), "begins or ends within its file"),
        (("--sizelimit", "4096"), "begins or ends within its file"),
        (("--read-only",), "is read-only"),
    ],
)
def test_a_device_that_shows_something_else_is_refused_with_the_reason(
    attached: Callable[..., tuple[Path, Path]], options: tuple[str, ...], why: str
) -> None:
    _, device = attached(*options)
    with pytest.raises(EnvironmentLacksError, match=why):
        open_loop_file(device)


def test_another_file_of_that_name_is_not_taken_for_it(attached: Callable[..., tuple[Path, Path]]) -> None:
    file, device = attached()
    file.rename(file.with_name("moved"))
    fd = open_loop_file(device)  # the kernel names the file by its present path
    os.close(fd)
    file.with_name("moved").unlink()
    with pytest.raises((EnvironmentLacksError, FileNotFoundError)):
        open_loop_file(device)


def test_what_is_no_loop_device_is_refused() -> None:
    with pytest.raises(EnvironmentLacksError, match="is no loop device"):
        open_loop_file(Path("/dev/null"))


def test_the_device_and_the_file_below_show_the_same_bytes(
    attached: Callable[..., tuple[Path, Path]],
) -> None:
    _, path = attached()
    fd = open_loop_file(path)
    device = LinuxBlockDevice(path)
    below = FileBelow(device, fd)
    try:
        for number in range(100):
            content = bytes([number + 1]) * 4096
            writer, reader = (device, below) if number % 2 else (below, device)
            writer.write(number * 4096, content)
            assert reader.read(number * 4096, 4096) == content
        device.discard(0, 65536)
        assert below.read(0, 65536) == bytes(65536)
        below.discard(65536, 65536)
        assert device.read(65536, 65536) == bytes(65536)
        assert (below.written_bytes, below.read_bytes) == (50 * 4096, 50 * 4096 + 65536)
    finally:
        below.close()
        os.close(fd)
