"""No layer can reach outside the directory that it is unpacked in."""

import os
import tarfile
from pathlib import Path

import pytest

from tests.workload.image.outside_the_root import UNTOUCHED, outside
from tests.workload.image.tar_members import Member, directory, hard_link, member, symlink, tar
from thinsim.workload.image import InvalidImageError, unpack_layer

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
    "whiteout of dots": ([member("d/.wh...")], "whiteout without a name"),
    "whiteout of dot": ([member("d/.wh..")], "whiteout without a name"),
    "whiteout of nothing": ([member("d/.wh.")], "whiteout without a name"),
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
