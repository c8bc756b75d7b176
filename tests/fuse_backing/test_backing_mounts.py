"""Lines of mountinfo are read, and an unfit mountpoint is explained."""

from pathlib import Path

import pytest

from fuse_backing import mounts
from fuse_backing.errors import MountpointError

LINE = (
    rb"36 35 98:0 /mnt1 /a\040b\134c\011d\012e rw,noatime master:1 propagate_from:2 - fuse.fuse_backing "
    rb"/src\040dir rw,user_id=0"
)


def test_a_line_of_mountinfo_is_read_with_its_octal_escapes() -> None:
    [mount] = mounts.parse_mountinfo(LINE)
    assert mount == mounts.MountEntry(
        36,
        35,
        "98:0",
        "/mnt1",
        Path("/a b\\c\td\ne"),
        "rw,noatime",
        "fuse.fuse_backing",
        "/src dir",
        "rw,user_id=0",
    )


def test_a_line_without_optional_fields_is_read() -> None:
    [mount] = mounts.parse_mountinfo(b"1 0 0:1 / /x rw - tmpfs none rw\n")
    assert (mount.mountpoint, mount.fstype) == (Path("/x"), "tmpfs")


def test_a_mountpoint_that_is_not_utf8_survives() -> None:
    [mount] = mounts.parse_mountinfo(b"1 0 0:1 / /\xff\\377 rw - tmpfs none rw\n")
    assert bytes(mount.mountpoint) == b"/\xff\xff"


@pytest.mark.parametrize("line", [b"1 0 0:1 / /x rw", b"x 0 0:1 / /x rw - a b c", b"hello"])
def test_a_malformed_line_of_mountinfo_is_refused_with_the_line(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a line of mountinfo"):
        mounts.parse_mountinfo(line)


def test_the_mounts_of_this_machine_can_be_read() -> None:
    root = mounts.find_mount(Path("/"))
    assert root is not None
    assert root.mountpoint == Path("/")


def test_a_missing_mountpoint_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MountpointError, match="create it first"):
        mounts.check_mountpoint(tmp_path / "missing")


def test_a_file_as_mountpoint_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(MountpointError, match="not a directory"):
        mounts.check_mountpoint(file)


def test_a_mountpoint_in_use_is_explained() -> None:
    with pytest.raises(MountpointError, match="already mounted there"):
        mounts.check_mountpoint(Path("/proc"))


def test_a_free_directory_is_fine(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert mounts.check_mountpoint(link) == tmp_path.resolve()
