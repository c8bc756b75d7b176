"""The host's commands are tested: real mkfs on image files, and errors for failed and missing commands."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from thinsim.errors import DeviceMapperError, EnvironmentLacksError, InvalidValueError
from thinsim.snapshotter.config import DEFAULT_EXT4_OPTIONS
from thinsim.snapshotter.host import CommandFailedError, LinuxHost, mkfs_command
from thinsim.snapshotter.interface import Mount


class DirectoryMounter:
    """A fake of mount(8) needs no root user: the target directory is the root of the file system."""

    def __init__(self, entries: tuple[str, ...] = (), error: Exception | None = None) -> None:
        self._entries = entries
        self._error = error
        self.calls: list[tuple[object, ...]] = []
        self.left: list[str] = []

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        self.calls.append(("mount", source, fs_type, options))
        if self._error is not None:
            raise self._error
        target.mkdir()
        for entry in self._entries:
            (target / entry).mkdir(parents=True)

    async def unmount(self, target: Path) -> None:
        self.calls.append(("unmount",))
        self.left = sorted(path.name for path in target.iterdir())
        shutil.rmtree(target)


def image(directory: Path, size: int) -> Path:
    path = directory / "image"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not installed")


@pytest.mark.parametrize(
    ("fs_type", "fs_options", "command"),
    [
        ("ext4", DEFAULT_EXT4_OPTIONS, f"mkfs.ext4 -E {DEFAULT_EXT4_OPTIONS} /dev/x"),
        ("ext2", "", "mkfs.ext2 -E  /dev/x"),
        ("xfs", "ignored", "mkfs.xfs /dev/x"),
    ],
)
def test_command_lines_are_containerds(fs_type: str, fs_options: str, command: str) -> None:
    assert " ".join(mkfs_command(Path("/dev/x"), fs_type, fs_options)) == command


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="btrfs"):
        mkfs_command(Path("/dev/x"), "btrfs", "")


@pytest.mark.parametrize(
    ("fs_type", "fs_options", "offset", "magic"),
    [
        pytest.param("ext4", DEFAULT_EXT4_OPTIONS, 1080, b"\x53\xef", marks=needs("mkfs.ext4")),
        pytest.param("ext2", "nodiscard", 1080, b"\x53\xef", marks=needs("mkfs.ext2")),
        pytest.param("xfs", "", 0, b"XFSB", marks=needs("mkfs.xfs")),
    ],
)
async def test_mkfs(tmp_path: Path, fs_type: str, fs_options: str, offset: int, magic: bytes) -> None:
    device = image(tmp_path, 512 << 20)
    await LinuxHost(DirectoryMounter(), tmp_path / "target").make_filesystem(device, fs_type, fs_options)
    with device.open("rb") as file:
        file.seek(offset)
        assert file.read(len(magic)) == magic


@needs("mkfs.ext4")
async def test_a_failure_has_the_error_text_of_the_command(tmp_path: Path) -> None:
    device = image(tmp_path, 64 << 20)
    with pytest.raises(CommandFailedError, match="nonsense") as caught:
        await LinuxHost(DirectoryMounter(), tmp_path / "target").make_filesystem(device, "ext4", "nonsense")
    assert caught.value.command == ("mkfs.ext4", "-E", "nonsense", str(device))
    assert caught.value.status != 0


@needs("blkdiscard")
async def test_blkdiscard_refuses_a_regular_file(tmp_path: Path) -> None:
    device = image(tmp_path, 4096)
    with pytest.raises(CommandFailedError, match="not a block device"):
        await LinuxHost(DirectoryMounter(), tmp_path / "target").discard(device)


async def test_a_missing_command_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    host = LinuxHost(DirectoryMounter(), tmp_path / "target")
    with pytest.raises(EnvironmentLacksError, match="install util-linux"):
        await host.discard(tmp_path / "device")
    with pytest.raises(EnvironmentLacksError, match="install xfsprogs"):
        await host.make_filesystem(tmp_path / "device", "xfs", "")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "mounted"
    assert list(tmp_path.glob("mounted*")) == []


async def test_lost_and_found_is_removed_alone(target: Path) -> None:
    mounter = DirectoryMounter(("lost+found", "etc"))
    await LinuxHost(mounter, target).remove_lost_and_found(Mount("ext4", "/dev/mapper/x", ("ro",)))
    assert mounter.calls == [("mount", "/dev/mapper/x", "ext4", ("ro",)), ("unmount",)]
    assert mounter.left == ["etc"]


async def test_without_lost_and_found_nothing_is_wrong(target: Path) -> None:
    mounter = DirectoryMounter(("etc",))
    await LinuxHost(mounter, target).remove_lost_and_found(Mount("xfs", "/dev/mapper/x"))
    assert mounter.left == ["etc"]


async def test_a_full_lost_and_found_stays(target: Path) -> None:
    mounter = DirectoryMounter(("lost+found/#12",))
    await LinuxHost(mounter, target).remove_lost_and_found(Mount("ext4", "/dev/mapper/x"))
    assert mounter.left == ["lost+found"]


async def test_a_failed_mount_is_logged_not_raised(target: Path, caplog: pytest.LogCaptureFixture) -> None:
    mounter = DirectoryMounter(error=DeviceMapperError(6, "no device"))
    await LinuxHost(mounter, target).remove_lost_and_found(Mount("ext4", "/dev/mapper/x"))
    assert "could not mount /dev/mapper/x" in caplog.text
    assert mounter.calls == [("mount", "/dev/mapper/x", "ext4", ())]
