"""A damaged layer raises InvalidImageError, and so does one that no program can have intended."""

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workload.image.tar_building import archive, header, pax
from tests.workload.image.tar_members import hard_link, member, symlink, tar
from thinsim.workload.image import InvalidImageError, unpack_layer
from thinsim.workload.image.tarstream import TarReader

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


@pytest.mark.parametrize("size", [(1 << 63) - 1, (1 << 63) - 512, 1 << 62])
def test_content_beyond_any_offset_is_cut_short(tmp_path: Path, size: int) -> None:
    (tmp_path / "tar").write_bytes(
        archive([pax((b"size", b"%d" % size)), header(b"f", type=b"Z"), b"x" * 512])
    )
    for stream in (io.BytesIO((tmp_path / "tar").read_bytes()), (tmp_path / "tar").open("rb")):
        with stream, pytest.raises(InvalidImageError, match="is cut short"):
            list(TarReader(stream, "layer"))


@pytest.mark.parametrize("target", ["later", "no/where", "removed"])
def test_the_error_for_a_hard_link_to_a_missing_file_names_its_target(root: Path, target: str) -> None:
    unpack_layer(tar(member("removed")), root)
    layer = tar(member(".wh.removed"), hard_link("link", target), member("later"))
    with pytest.raises(InvalidImageError, match=f"'link' is a hard link to '{target}', which neither"):
        unpack_layer(layer, root)


def test_a_symlink_with_an_empty_target_is_refused(root: Path) -> None:
    with pytest.raises(InvalidImageError, match="'link' is a symlink with an empty target"):
        unpack_layer(tar(symlink("link", "")), root)
