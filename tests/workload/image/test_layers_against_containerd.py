"""Random images of two layers have the same files here and in this machine's containerd."""

import io
import os
import posixpath
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import UnpackedTree, answering, digest, removed, tree_below
from tests.workload.image.tar_building import (
    archive,
    base256,
    directory,
    file,
    hard_link,
    header,
    pax,
    symlink,
)
from thinsim.workload.image import InvalidImageError, unpack_layer

MISSING = [name for name in ("containerd", "ctr", "runc") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: containerd unpacks images as root"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc)"
    ),
]

NAMES = (b"a", b"b", b"c")
OWNERS = (0, 5, base256(-1), base256(-2), base256(1 << 32))
MODES = (0o644, 0o755, 0o4711, 0o2775, 0o1777, 0o700)
TARGETS = (b"a", b"/b", b"../c", b"../../../a/b", b"c/d", b"x/../a", b".", b"/")


@pytest.fixture
def place() -> Iterator[Path]:
    with removed(Path(tempfile.mkdtemp(prefix="thinsim-random-"))) as directory:
        yield directory


def a_path(chance: random.Random) -> bytes:
    path = b"/".join(chance.choice(NAMES) for _ in range(chance.randint(1, 3)))
    return chance.choice((b"", b"", b"", b"/", b"./", b"../", b"x/../")) + path


def an_entry(chance: random.Random, kinds: tuple[str, ...]) -> tuple[str, bytes, bytes]:
    """Return the kind of an entry, its path, and the entry."""
    kind, path = chance.choice(kinds), a_path(chance)
    return kind, posixpath.normpath(b"/" + path.lstrip(b"/")), _entry(chance, kind, path)


def _entry(chance: random.Random, kind: str, path: bytes) -> bytes:
    fields: dict[str, object] = {
        "uid": chance.choice(OWNERS),
        "gid": chance.choice(OWNERS),
        "mtime": chance.choice((0, 1000, 1_500_000_000, base256(-5, 12))),
    }
    mode = chance.choice(MODES)
    before = b""
    if chance.random() < 0.2:
        before = pax((b"SCHILY.xattr.user." + chance.choice(NAMES), b"value"), (b"mtime", b"77.25"))
    match kind:
        case "file":
            return before + file(path, chance.randbytes(chance.randint(0, 700)), mode=mode, **fields)
        case "directory":
            return before + directory(path + chance.choice((b"", b"/")), mode, **fields)
        case "symlink":
            return symlink(path, chance.choice(TARGETS), **fields)
        case "link":
            return hard_link(path, a_path(chance), mode=mode, **fields)
        case "fifo":
            return header(path, type=b"6", mode=mode, **fields)  # type: ignore[arg-type]
        case _:
            return header(path + b"/", type=b"0", mode=mode, **fields)  # type: ignore[arg-type]


def a_whiteout(chance: random.Random) -> bytes:
    parent = b"/".join(chance.choice(NAMES) for _ in range(chance.randint(0, 2)))
    return file((parent + b"/" if parent else b"") + b".wh." + chance.choice((*NAMES, b".wh..opq")))


def entries(chance: random.Random, count: int, links: bool) -> list[bytes]:
    """Return entries, none of which replaces a directory of the same layer by another kind of file.

    At the end of a layer containerd sets a directory's time by name, on any file that has replaced it, or
    fails. thinsim sets the time only on the directory itself.
    """
    kinds = (
        "file",
        "file",
        "directory",
        "directory",
        "link",
        "fifo",
        "slash",
        *(["symlink"] * 2 if links else []),
    )
    made = [an_entry(chance, kinds) for _ in range(count)]
    if links:  # paths do not show where links lead
        made.sort(key=lambda entry: entry[0] == "directory")
        return [data for _, _, data in made]
    kept: list[bytes] = []
    directories: list[bytes] = []
    for kind, path, data in made:
        if kind == "directory":
            directories.append(path + b"/")
        elif any(above.startswith(path + b"/") for above in directories):
            continue
        kept.append(data)
    return kept


def layers(chance: random.Random) -> list[bytes]:
    """Return two layers. Whiteouts come first, since thinsim's never remove files of their own layer."""
    links = chance.random() < 0.5
    lower = entries(chance, chance.randint(1, 6), links)
    upper = [a_whiteout(chance) for _ in range(chance.randint(0, 2))]
    return [archive(lower), archive([*upper, *entries(chance, chance.randint(0, 5), links)])]


def unpacked(tars: list[bytes], root: Path) -> UnpackedTree | None:
    root.mkdir()
    with removed(root):
        try:
            for tar in tars:
                unpack_layer(io.BytesIO(tar), root)
        except InvalidImageError:
            return None
        return tree_below(root, copied=True)


async def compare(place: Path, count: int) -> None:
    given = refused = 0
    async with answering(place, place) as containerd:
        for seed in range(count):
            tars = layers(random.Random(seed))
            answer = await containerd.about([(tar, digest(tar)) for tar in tars])
            found = unpacked(tars, place / "root")
            expected = None if isinstance(answer, str) else answer
            assert found == expected, (seed, answer)
            given += expected is not None
            refused += expected is None
    assert given > count // 5
    assert refused


async def test_random_images_are_unpacked_or_refused_as_by_containerd(place: Path) -> None:
    await compare(place, 40)


@pytest.mark.long
async def test_many_random_images_are_unpacked_or_refused_as_by_containerd(place: Path) -> None:
    await compare(place, 1500)
