"""What one layer does to a directory, and what no layer can do to the rest of the machine."""

import contextlib
import gc
import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workload.image.tar_building import archive, header, pax
from thinsim.workload.image import InvalidImageError, UnpackResult, unpack_layer
from thinsim.workload.image.tarstream import TarReader

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners and devices")

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", **more: Any
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    info.mode, info.uid, info.gid, info.mtime = 0o644, os.getuid(), os.getgid(), 1000
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, mode: int = 0o755, **more: Any) -> Member:
    return member(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, target: str) -> Member:
    return member(name, kind=tarfile.SYMTYPE, link=target)


def hard_link(name: str, target: str) -> Member:
    return member(name, kind=tarfile.LNKTYPE, link=target)


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory within a world that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"untouched")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def outside(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root.parent)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.parent.rglob("*"))
        if not path.is_relative_to(root)
    }


UNTOUCHED = {"outside": b"", "outside/file": b"untouched"}


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
    assert (root / "d/f").stat().st_mtime == 1000  # as the link's header, the last, has it
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
def test_an_opaque_directory_keeps_what_its_own_layer_brings_in_any_order(
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


def test_a_whiteout_does_not_remove_what_its_own_layer_brings(root: Path) -> None:
    unpack_layer(tar(member("d/old")), root)
    unpack_layer(tar(directory("d"), member("d/new"), member(".wh.d")), root)
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_the_time_of_a_directory_is_set_after_its_content_is_there(root: Path) -> None:
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


def test_user_xattrs_are_kept_and_trusted_ones_passed_over(root: Path) -> None:
    try:
        os.setxattr(root, "user.probe", b"1")
    except OSError:
        pytest.skip("this file system has no user xattrs")
    headers = {"SCHILY.xattr.user.note": "a=b\nc", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    result = unpack_layer(tar(member("f", pax_headers=headers), directory("d", pax_headers=headers)), root)
    assert os.getxattr(root / "f", "user.note") == b"a=b\nc"
    assert os.getxattr(root / "d", "user.note") == b"a=b\nc"
    assert result.skipped == 2


@as_root
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


ESCAPES: dict[str, tuple[list[Member], str | None]] = {
    "dots": ([member("../outside/file", b"bad")], "outside/file"),
    "dots within": ([member("a/../../outside/file", b"bad")], "outside/file"),
    "absolute": ([member("/outside/file", b"bad")], "outside/file"),
    "relative symlink": ([symlink("s", "../outside"), member("s/file", b"bad")], "outside/file"),
    "nested symlink": ([symlink("a/s", "../../../outside"), member("a/s/file", b"bad")], "outside/file"),
    "final symlink": ([symlink("s", "../outside/file"), member("s", b"bad")], "s"),
    "directory over symlink": ([symlink("s", "../outside"), directory("s", 0o700), member("s/f")], "s/f"),
    "whiteout through symlink": ([symlink("s", "../outside"), member("s/.wh.file")], "outside"),
    "opaque through symlink": ([symlink("s", "../outside"), member("s/.wh..wh..opq")], "outside"),
    "hard link to symlink": (
        [symlink("s", "../outside/file"), hard_link("h", "s"), member("h", b"bad")],
        "h",
    ),
    "the root itself": ([directory("../.."), directory("./"), member("..", b"bad")], None),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_entry_reaches_outside_the_root(root: Path, name: str) -> None:
    members, made = ESCAPES[name]
    unpack_layer(tar(*members), root)
    assert outside(root) == UNTOUCHED
    assert made is None or os.path.lexists(root / made)


def test_an_absolute_symlink_to_the_host_leads_to_the_same_path_in_the_root(root: Path) -> None:
    host = root.parent / "outside"
    unpack_layer(tar(symlink("s", str(host)), member("s/file", b"inside")), root)
    assert outside(root) == UNTOUCHED
    assert (root / str(host).lstrip("/") / "file").read_bytes() == b"inside"


REFUSED: dict[str, tuple[list[Member], str]] = {
    "hard link outside": ([hard_link("h", "../outside/file")], "is a hard link to .*, which neither"),
    "absolute hard link outside": ([hard_link("h", "/etc/passwd")], "is a hard link to .*, which neither"),
    "hard link through a symlink": (
        [symlink("s", "../outside"), hard_link("h", "s/file")],
        "is a hard link to .*, which neither",
    ),
    "hard link to a directory": ([directory("d"), hard_link("h", "d")], "directory"),
    "hard link to the root": ([hard_link("h", "/")], "directory"),
    "whiteout of dots": ([member("d/.wh...")], "whiteout of no name"),
    "whiteout of dot": ([member("d/.wh..")], "whiteout of no name"),
    "whiteout of nothing": ([member("d/.wh.")], "whiteout of no name"),
    "loop": ([symlink("a", "b"), symlink("b", "a"), member("a/f")], "symbolic links"),
    "file as parent": ([member("f"), member("f/g")], "Not a directory"),
    "name too long": ([member("n" * 300)], "too long"),
    "nested too deep": ([member("d/" * 2100 + "f")], "too long"),
    "unknown type": ([member("f", kind=b"V")], "type 'V'"),
    "sparse": ([member("f", kind=tarfile.GNUTYPE_SPARSE)], "sparse, but not as GNU tar writes it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_layer_is_refused_and_nothing_outside_is_touched(root: Path, name: str) -> None:
    members, text = REFUSED[name]
    with pytest.raises(InvalidImageError, match=f"^layer: .*{text}"):
        unpack_layer(tar(*members), root)
    assert outside(root) == UNTOUCHED


HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "time of many digits": ({"mtime": "9" * 5000}, "pax mtime"),
    "size that is no number": ({"size": "1e9"}, "pax size"),
    "owner beyond all": ({"uid": "9" * 30}, "pax uid"),
    "NUL in a name": ({"path": "a\0b"}, "NUL"),
    "xattr of no name": ({"SCHILY.xattr.": "x"}, "an xattr ''"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_pax_record_out_of_all_range_is_refused(root: Path, name: str) -> None:
    headers, text = HEADERS[name]
    with pytest.raises(InvalidImageError, match=text):
        unpack_layer(tar(member("f", pax_headers=headers)), root)


VARIED = tar(
    member("d/f", b"content", mtime=1.5, pax_headers={"SCHILY.xattr.user.a": "b"}),
    symlink("s", "d"),
    hard_link("h", "d/f"),
    member("d/.wh.g"),
    member("x" * 120, b"y" * 600),
).getvalue()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(VARIED) // 512), st.integers(0, 511), st.binary(max_size=9)), max_size=3
    ),
    st.integers(0, len(VARIED)),
)
def test_damage_of_any_kind_is_an_invalid_image_or_none(
    damages: list[tuple[int, int, bytes]], length: int
) -> None:
    data = bytearray(VARIED)
    for block, offset, new in damages:
        start = block * 512 + offset
        data[start : start + len(new)] = new
        header = data[block * 512 : block * 512 + 512]
        if header[257:262] == b"ustar":  # a checksum that fits, so that the damage is read
            header[148:156] = b" " * 8
            data[block * 512 + 148 : block * 512 + 156] = b"%06o\0 " % sum(header)
    with tempfile.TemporaryDirectory() as temporary, contextlib.suppress(InvalidImageError):
        unpack_layer(io.BytesIO(bytes(data[: max(length, 512)])), Path(temporary))


@pytest.mark.parametrize("cut", [100, 512, 700, 512 + 3000])
def test_a_layer_cut_short_is_refused_unless_at_a_boundary(root: Path, cut: int) -> None:
    data = tar(member("f", bytes(4000))).getvalue()
    with pytest.raises(InvalidImageError, match="cut short"):
        unpack_layer(io.BytesIO(data[:cut]), root)


def test_damage_between_entries_is_not_taken_for_the_end(root: Path) -> None:
    data = bytearray(tar(member("f"), member("g")).getvalue())
    data[512 + 10] ^= 0xFF
    with pytest.raises(InvalidImageError, match="checksum"):
        unpack_layer(io.BytesIO(bytes(data)), root)


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


@pytest.mark.parametrize("size", [(1 << 63) - 1, (1 << 63) - 512, 1 << 62])
def test_content_beyond_any_offset_is_cut_short(tmp_path: Path, size: int) -> None:
    (tmp_path / "tar").write_bytes(
        archive([pax((b"size", b"%d" % size)), header(b"f", type=b"Z"), b"x" * 512])
    )
    for stream in (io.BytesIO((tmp_path / "tar").read_bytes()), (tmp_path / "tar").open("rb")):
        with stream, pytest.raises(InvalidImageError, match="is cut short"):
            list(TarReader(stream, "layer"))


def test_what_follows_the_end_of_a_layer_can_be_given_up(root: Path) -> None:
    class EnoughError(Exception):
        pass

    class EndlessStream(io.RawIOBase):
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
        unpack_layer(io.BufferedReader(EndlessStream()), root, progress=progress)


@pytest.mark.parametrize("target", ["later", "no/where", "removed"])
def test_a_hard_link_to_what_is_not_there_names_its_target(root: Path, target: str) -> None:
    unpack_layer(tar(member("removed")), root)
    layer = tar(member(".wh.removed"), hard_link("link", target), member("later"))
    with pytest.raises(InvalidImageError, match=f"'link' is a hard link to '{target}', which neither"):
        unpack_layer(layer, root)


def test_a_symlink_to_nothing_is_called_so(root: Path) -> None:
    with pytest.raises(InvalidImageError, match="'link' is a symlink to nothing"):
        unpack_layer(tar(symlink("link", "")), root)
