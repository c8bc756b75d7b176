"""One layer changes a directory as the OCI image-spec and containerd prescribe."""

import os
import stat
import tarfile
from pathlib import Path

import pytest

from tests.workload.image.tar_members import directory, hard_link, member, symlink, tar
from thinsim.workload.image import UnpackResult, unpack_layer


def test_files_directories_and_links_get_content_mode_and_time(root: Path) -> None:
    result = unpack_layer(
        tar(
            directory("d", 0o2750),
            member("d/f", b"content", mode=0o4711, mtime=1234.5),
            symlink("d/s", "/nowhere"),
            hard_link("h", "d/f"),
        ),
        root,
    )
    assert result == UnpackResult(files=3, bytes=7, whiteouts=0, skipped=0)
    assert (root / "d/f").read_bytes() == b"content"
    assert (root / "d/f").stat().st_mtime == 1000  # the time in the header of the link, which came last
    assert (root / "d/f").stat().st_ino == (root / "h").stat().st_ino
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o2750
    assert (root / "d").stat().st_mtime == 1000
    assert (root / "d/s").readlink() == Path("/nowhere")
    assert (root / "d/s").lstat().st_mtime == 1000


def test_setuid_and_fractions_of_a_second_survive(root: Path) -> None:
    unpack_layer(tar(member("f", b"x", mode=0o4755, mtime=1234.5)), root)
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o4755
    assert (root / "f").stat().st_mtime_ns == 1234_500_000_000


def test_missing_parents_are_made_for_all_to_enter(root: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack_layer(tar(member("a/b/f")), root)
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o755


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_long_and_odd_names_are_read_in_both_formats(root: Path, form: int) -> None:
    long = "/".join(["d" * 60] * 6)
    unpack_layer(tar(member(f"{long}/é", b"1"), symlink("s", long), form=form), root)
    assert (root / long / "é").read_bytes() == b"1"
    assert (root / "s").readlink() == Path(long)


def test_a_file_replaces_a_directory_and_a_directory_a_file(root: Path) -> None:
    unpack_layer(tar(member("a/b/c"), member("f")), root)
    unpack_layer(tar(member("a", b"file"), directory("f")), root)
    assert (root / "a").read_bytes() == b"file"
    assert (root / "f").is_dir()


def test_replacing_one_name_of_a_hard_link_leaves_the_other(root: Path) -> None:
    unpack_layer(tar(member("a", b"old"), hard_link("b", "a")), root)
    unpack_layer(tar(member("a", b"new")), root)
    assert (root / "b").read_bytes() == b"old"


def test_whiteouts_remove_names_of_lower_layers(root: Path) -> None:
    unpack_layer(tar(member("d/f"), member("d/g"), member("e/f")), root)
    result = unpack_layer(tar(member("d/.wh.f"), member(".wh.e"), member(".wh.absent")), root)
    assert result == UnpackResult(files=0, bytes=0, whiteouts=3, skipped=0)
    assert [path.name for path in sorted(root.rglob("*"))] == ["d", "g"]


def test_a_whiteout_removes_a_symlink_and_not_its_target(root: Path) -> None:
    unpack_layer(tar(member("f"), symlink("s", "f")), root)
    unpack_layer(tar(member(".wh.s")), root)
    assert [path.name for path in root.iterdir()] == ["f"]


@pytest.mark.parametrize("opaque_first", [True, False])
def test_an_opaque_directory_keeps_files_of_its_own_layer_in_any_order(
    root: Path, opaque_first: bool
) -> None:
    unpack_layer(tar(member("d/old/f"), member("d/sub/lower"), member("d/g")), root)
    brought = [directory("d"), member("d/new"), member("d/sub/upper")]
    opaque = member("d/.wh..wh..opq")
    unpack_layer(tar(*([opaque, *brought] if opaque_first else [*brought, opaque])), root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "d",
        "d/new",
        "d/sub",
        "d/sub/upper",
    ]


def test_a_whiteout_does_not_remove_files_of_its_own_layer(root: Path) -> None:
    unpack_layer(tar(member("d/old")), root)
    unpack_layer(tar(directory("d"), member("d/new"), member(".wh.d")), root)
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_the_time_of_a_directory_is_set_after_its_content_is_made(root: Path) -> None:
    unpack_layer(tar(directory("d"), directory("d/e"), member("d/e/f"), member("d/f")), root)
    assert [(root / name).stat().st_mtime for name in ("d", "d/e")] == [1000, 1000]


def test_a_directory_closed_to_its_owner_can_be_filled(root: Path) -> None:
    unpack_layer(tar(directory("d", 0o555), member("d/f")), root)
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o555
    (root / "d").chmod(0o755)


def test_parents_that_are_symlinks_are_followed_within_the_root(root: Path) -> None:
    unpack_layer(tar(directory("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr/lib")), root)
    unpack_layer(tar(member("lib/one"), member("abs/two")), root)
    assert sorted(path.name for path in (root / "usr/lib").iterdir()) == ["one", "two"]
    assert (root / "lib").is_symlink()


def test_user_xattrs_are_kept_and_trusted_ones_skipped(root: Path) -> None:
    try:
        os.setxattr(root, "user.probe", b"1")
    except OSError:
        pytest.skip("this file system has no user xattrs")
    headers = {"SCHILY.xattr.user.note": "a=b\nc", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    result = unpack_layer(tar(member("f", pax_headers=headers), directory("d", pax_headers=headers)), root)
    assert os.getxattr(root / "f", "user.note") == b"a=b\nc"
    assert os.getxattr(root / "d", "user.note") == b"a=b\nc"
    assert result.skipped == 2


@pytest.mark.root("owners and devices")
def test_owners_and_devices_are_made_as_root(root: Path) -> None:
    result = unpack_layer(
        tar(
            member("f", uid=123, gid=2_097_152 + 5),
            member("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            member("pipe", kind=tarfile.FIFOTYPE),
        ),
        root,
    )
    assert ((root / "f").stat().st_uid, (root / "f").stat().st_gid) == (123, 2_097_157)
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
    null = root / "null"
    assert result.skipped == 1 or (null.stat().st_rdev, stat.S_IMODE(null.stat().st_mode)) == (
        os.makedev(1, 3),
        0o666,
    )
