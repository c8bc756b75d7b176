"""Randomly changed archives are read as Go's archive/tar reads them, entry by entry."""

import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.workload.image import tar_rules_extended, tar_rules_headers, tar_rules_sparse
from tests.workload.image.tar_building import BLOCK, GNU, USTAR, V7
from thinsim.workload.image import InvalidImageError
from thinsim.workload.image.tarstream import EntryKind, TarReader

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="missing: go (apt-get install golang-go)")

PROGRAM = Path(__file__).parent / "data/tar_entries.go"
LARGEST = 50_000_000
"""Bytes of a file that both sides read at most: a few bytes of map can make a file of holes of any size."""

ARCHIVES = [
    tar
    for rules in (tar_rules_headers, tar_rules_extended, tar_rules_sparse)
    for tars in rules.RULES.values()
    for tar in tars
    if len(tar) < 20_000
]
FIELDS = (
    *((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (157, 100), (329, 8), (337, 8)),
    *((345, 155), (345, 12), (357, 12), (386, 24), (482, 1), (483, 12), (476, 12)),
)
WHOLE = {
    257: (GNU, USTAR, V7, b"ustar\0  ", b"ustar 00"),
    508: (b"tar\0",),
    156: (b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L", b"K", b"S", b"7", b"Z"),
}
BYTES = b"07 \0008-+\x80\xffz1"


def changed(chance: random.Random, data: bytes) -> bytes:
    """Return *data* with one to three changes to a header's field, a byte, blocks or the length."""
    tar = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        block = chance.randrange(max(1, len(tar) // BLOCK)) * BLOCK
        match chance.choice(["field"] * 5 + ["whole"] * 2 + ["byte"] * 2 + ["cut", "zeros", "less", "more"]):
            case "field":
                offset, width = chance.choice(FIELDS)
                new = bytes(chance.choice(BYTES) for _ in range(chance.randint(1, min(width, 12))))
                place = block + offset + (chance.randrange(width) if chance.random() < 0.3 else 0)
                tar[place : place + len(new)] = new
                _sum(tar, block)
            case "whole":
                offset = chance.choice(list(WHOLE))
                new = chance.choice(WHOLE[offset])
                tar[block + offset : block + offset + len(new)] = new
                _sum(tar, block)
            case "byte" if tar:
                tar[chance.randrange(len(tar))] = chance.choice(b"0123456789 =\n,.\0+-azGNU")
            case "cut":
                del tar[chance.randrange(len(tar) + 1) :]
            case "zeros":
                tar[block:block] = bytes(BLOCK)
            case "less":
                del tar[block : block + BLOCK]
            case "more":
                other = chance.choice(ARCHIVES)
                tar[block:block] = other[: chance.randrange(len(other) // BLOCK + 1) * BLOCK]
    return bytes(tar)


def _sum(tar: bytearray, block: int) -> None:
    """Fix the checksum of a header, so that its changed fields are read."""
    if block + BLOCK <= len(tar):
        tar[block + 148 : block + 156] = b" " * 8
        tar[block + 148 : block + 156] = b"%06o\0 " % sum(tar[block : block + BLOCK])


def entries(data: bytes) -> list[str]:
    """Return the entries that thinsim reads, in the format of tar_entries.go."""
    lines = []
    try:
        reader = TarReader(io.BytesIO(data), "archive")
        for entry in reader:
            name, link = (os.fsencode(text).hex() for text in (entry.name, entry.link_target))
            if entry.kind is EntryKind.GLOBAL_HEADER:
                lines.append(f"g {name}")
                continue
            if entry.size > LARGEST:
                return [*lines, "HUGE"]
            digest, size = hashlib.sha256(), 0
            while entry.kind is EntryKind.FILE and (piece := reader.read()):
                digest.update(piece)
                size += len(piece)
            content = digest.hexdigest()[:8] if entry.kind is EntryKind.FILE else ""
            modified = seconds(entry.modified)
            accessed = "none" if entry.accessed is None else seconds(entry.accessed)
            lines.append(
                f"{entry.flag} {name} {link} {entry.mode:o} {entry.uid} {entry.gid} {size} "
                f"{modified} {accessed} {entry.device[0]},{entry.device[1]} {content} {len(entry.xattrs)}"
            )
    except InvalidImageError:
        lines.append("ERR")
    return lines


def seconds(nanoseconds: int) -> str:
    """Return a time in the format of tar_entries.go."""
    whole, rest = divmod(nanoseconds, 10**9)
    return f"{whole}.{rest:09}"


def has_nul(line: str) -> bool:
    """Return whether a name in *line* has a NUL, which Go returns and the kernel refuses."""
    return any(0 in bytes.fromhex(text) for text in line.split(" ")[1:3])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_randomly_changed_archive_is_read_as_go_reads_it(tmp_path: Path, seed: int) -> None:
    program = tmp_path / "tar_entries"
    environment = {**os.environ, "GOCACHE": str(tmp_path / "cache"), "GOFLAGS": ""}
    subprocess.run(["go", "build", "-o", str(program), str(PROGRAM)], env=environment, check=True)
    chance = random.Random(seed)
    archives = [changed(chance, chance.choice(ARCHIVES)) for _ in range(5_000 if seed == 1 else 200_000)]
    fed = b"".join(struct.pack("<I", len(archive)) + archive for archive in archives)
    done = subprocess.run([str(program)], input=fed, capture_output=True, check=True)
    refused = 0
    for archive, line in zip(archives, done.stdout.splitlines(), strict=True):
        expected, found = json.loads(line), entries(archive)
        if found[-1:] == ["ERR"] and len(expected) >= len(found) and has_nul(expected[len(found) - 1]):
            continue
        assert found == expected, archive.hex()
        refused += expected[-1:] == ["ERR"]
    assert len(archives) // 10 < refused < len(archives) * 9 // 10
