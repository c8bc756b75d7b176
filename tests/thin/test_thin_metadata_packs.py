"""A pack of a pool's metadata is small, and unpacks to metadata that prints the same."""

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.repository import REPOSITORY
from tests.thin.damaged_images import damage_named, save_damaged, some_now_the_rest_long
from tests.thin.metadata_command import MetadataCommand
from tests.thin.metadata_damages import Damage
from tests.thin.metadata_tools import load, needs_tools, output_of, run, thin_check
from tests.thin.ram_pool import RamPool, busy_pool
from thinsim.cli.main import status_of
from thinsim.dm.metadata_device import MetadataFile
from thinsim.dm.metadata_pack import pack, unpack
from thinsim.errors import InvalidValueError
from thinsim.thin.metadata.pack_file import is_sound

THEIR_PACK = REPOSITORY / "tests/thin/data/thin_metadata_pack-1.1.0.pack"
"""A pack that thin_metadata_pack 1.1.0 made of the metadata of `busy_pool`."""
ITS_METADATA = "176ed05db5e7587088a05cd0dcc6b12ee35e76068c0dd2f76789a2c3985ac172"
"""The SHA-256 of what thin_metadata_unpack 1.1.0 makes of it."""
BLOCK = 4096
GIB = 1 << 30


def _has_pack_tools() -> bool:
    there = shutil.which("thin_metadata_unpack") is not None
    return there and not output_of("thin_metadata_unpack", "--version").startswith("0.")


needs_pack_tools = pytest.mark.skipif(
    not _has_pack_tools(),
    reason="thin_metadata_unpack 1.x is missing; install the thin-provisioning-tools of Debian 13",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ram = busy_pool()
    ram.commit()
    return ram.metadata.save(tmp_path / "metadata")


def through(file: Path, *, with_damage: bool = False) -> Path:
    """Pack and unpack *file*; return the result."""
    packed, found = file.with_suffix(".pack"), file.with_suffix(".unpacked")
    for each in (packed, found):
        each.unlink(missing_ok=True)
    result = pack(file, packed, with_damage=with_damage)
    assert packed.stat().st_size == result.pack_bytes
    assert unpack(packed, found) == result
    return found


@needs_tools
def test_metadata_is_unpacked_as_it_was_packed(command: MetadataCommand, file: Path, tmp_path: Path) -> None:
    packed, found = tmp_path / "small", tmp_path / "found"
    status, out, err = command("pack", "-o", packed, file)
    assert (status, err) == (0, "")
    assert out == f"{packed}: 96 of 512 blocks of 4 KiB; the pack has 3.0 KiB\n"
    assert packed.stat().st_size < file.stat().st_size // 100
    assert command("unpack", "-o", found, packed)[0] == 0
    assert found.read_bytes() == file.read_bytes()
    assert thin_check(load(found), tmp_path / "copy") == ""
    assert output_of("thin_dump", found) == output_of("thin_dump", file)


def test_json_has_the_counts(command: MetadataCommand, file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "small"
    document = json.loads(command("pack", "--json", "-o", packed, file)[1])
    size = packed.stat().st_size
    assert document == {"device_blocks": 512, "packed_blocks": 96, "damaged_blocks": 0, "pack_bytes": size}
    assert json.loads(command("unpack", "--json", "-o", tmp_path / "found", packed)[1]) == document


@given(
    writes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63)), max_size=60),
    snapshots=st.lists(st.integers(0, 3), max_size=4),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_metadata_is_unpacked_as_it_was_packed(
    writes: list[tuple[int, int]], snapshots: list[int], tmp_path: Path
) -> None:
    ram = RamPool(data_blocks=1024)
    devices = [ram.thin(number) for number in range(4)]
    for number, vblock in writes:
        ram.write_blocks(devices[number], vblock)
    for number, origin in enumerate(snapshots, 4):
        ram.pool.close_thin(ram.snap(number, origin))
    ram.commit()
    file = ram.metadata.save(tmp_path / "metadata")
    assert through(file).read_bytes() == file.read_bytes()


def test_a_pack_of_thin_metadata_pack_is_unpacked(tmp_path: Path) -> None:
    found = tmp_path / "found"
    assert unpack(THEIR_PACK, found).packed_blocks == 96
    assert hashlib.sha256(found.read_bytes()).hexdigest() == ITS_METADATA


@needs_pack_tools
def test_thin_metadata_unpack_reads_a_pack(file: Path, tmp_path: Path) -> None:
    packed, found = tmp_path / "small", tmp_path / "found"
    pack(file, packed)
    output_of("thin_metadata_unpack", "-i", packed, "-o", found)
    assert found.read_bytes() == file.read_bytes()


@needs_pack_tools
def test_thin_metadata_unpack_refuses_a_pack_with_damage(tmp_path: Path) -> None:
    file = save_damaged(damage_named("details leaf: a flipped bit"), tmp_path / "metadata")
    packed = tmp_path / "small"
    assert pack(file, packed, with_damage=True).damaged_blocks == 1
    done = run("thin_metadata_unpack", "-i", packed, "-o", tmp_path / "found")
    assert done.returncode != 0
    assert "unsupported pack file version" in done.stdout + done.stderr


def test_the_pack_of_sound_metadata_is_the_same_if_damage_is_asked_for(file: Path, tmp_path: Path) -> None:
    results = [pack(file, tmp_path / str(asked), with_damage=asked) for asked in (False, True)]
    assert results[0] == results[1]
    assert (tmp_path / "True").read_bytes() == (tmp_path / "False").read_bytes()


@pytest.mark.parametrize("damage", some_now_the_rest_long())
def test_damaged_blocks_are_packed_only_if_asked(damage: Damage, tmp_path: Path) -> None:
    file = save_damaged(damage, tmp_path / "metadata")
    before = file.read_bytes()
    whole = through(file, with_damage=True).read_bytes()
    has_magic = struct.unpack_from("<Q", before, 32) == (27022010,)
    assert whole == (before if has_magic else bytes(BLOCK) + before[BLOCK:])
    blocks = [before[at : at + BLOCK] for at in range(0, len(before), BLOCK)]
    if not is_sound(blocks[0]):
        with pytest.raises(InvalidValueError, match=f"^{file}"):
            through(file)
    else:
        found = through(file).read_bytes()
        assert found == b"".join(block if is_sound(block) else bytes(BLOCK) for block in blocks)


def test_a_block_that_nothing_refers_to_is_never_packed_with_a_wrong_checksum(tmp_path: Path) -> None:
    ram = busy_pool()
    ram.commit()
    ram.metadata.content[500] = b"a letter that was on the disk before".ljust(BLOCK, b"\0")
    file = ram.metadata.save(tmp_path / "metadata")
    assert not any(through(file, with_damage=True).read_bytes()[500 * BLOCK : 501 * BLOCK])


def test_holes_of_a_large_device_are_not_read(file: Path) -> None:
    os.truncate(file, GIB)
    store = MetadataFile(file)
    runs = list(store.data_runs())
    store.close()
    assert sum(end - begin for begin, end in runs) <= 512
    found = through(file)
    assert found.stat().st_size == GIB
    assert found.stat().st_blocks * 512 < 4 << 20
    with file.open("rb") as first, found.open("rb") as second:
        assert first.read(512 * BLOCK) == second.read(512 * BLOCK)


def test_a_pack_that_is_cut_short_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    packed, found = tmp_path / "small", tmp_path / "found"
    pack(file, packed)
    content = packed.read_bytes()
    for size in range(len(content)):
        packed.write_bytes(content[:size])
        with pytest.raises(InvalidValueError, match=f"^{packed}: "):
            unpack(packed, found)
        assert not found.exists()


def test_a_pack_without_its_last_chunk_has_no_superblock(tmp_path: Path) -> None:
    ram = RamPool(metadata_blocks=4096, data_blocks=1 << 18)
    thin = ram.thin(1)
    ram.write_blocks(thin, 0, 1)
    ram.commit()
    node = next(content for number, content in ram.metadata.content.items() if number and is_sound(content))
    for number in range(1024, 3072):
        ram.metadata.content[number] = node
    packed = tmp_path / "small"
    pack(ram.metadata.save(tmp_path / "metadata"), packed)
    content = packed.read_bytes()
    (first,) = struct.unpack_from("<Q", content, 32)
    packed.write_bytes(content[: 40 + first])
    with pytest.raises(InvalidValueError, match="it has no superblock: it is cut short"):
        unpack(packed, tmp_path / "found")


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_is_detected(data: st.DataObject, tmp_path: Path) -> None:
    packed, found = tmp_path / "small", tmp_path / "found"
    content = bytearray(THEIR_PACK.read_bytes())
    at = data.draw(st.integers(32, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    packed.write_bytes(content)
    try:
        unpack(packed, found)
    except InvalidValueError:
        assert not found.exists()
        return
    # zlib ignores some bits of its header.
    assert hashlib.sha256(found.read_bytes()).hexdigest() == ITS_METADATA
    found.unlink()


def test_an_output_that_exists_is_kept(command: MetadataCommand, file: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("kept")
    fault = f"thinsim: {there} exists: remove it, or write to another file\n"
    assert command("pack", "-o", there, file) == (1, "", fault)
    assert command("unpack", "-o", there, THEIR_PACK) == (1, "", fault)
    assert there.read_text() == "kept"


def test_a_file_that_is_no_metadata_is_named_and_leaves_no_pack(
    command: MetadataCommand, tmp_path: Path
) -> None:
    file, packed = tmp_path / "letter", tmp_path / "small"
    file.write_bytes(b"Dear reader" * 4096)
    for options in ((), ("--damaged",)):
        status, _, err = command("pack", *options, "-o", packed, file)
        assert status == 1
        assert err.startswith(f"thinsim: {file} holds no pool's metadata: ")
        assert not packed.exists()


@pytest.mark.parametrize("name", ["metadata", "directory"])
def test_a_file_that_is_no_pack_is_named(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "directory").mkdir()
    status = status_of(["metadata", "unpack", str(tmp_path / name), "-o", str(tmp_path / "found")])
    assert status == (1 if name == "metadata" else 2)
    err = capsys.readouterr().err
    assert "is not a file of thinsim metadata pack" in err or "is a directory" in err
    assert not (tmp_path / "found").exists()


def test_the_input_is_no_output(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    before = file.read_bytes()
    assert status_of(["metadata", "pack", str(file), "-o", str(file)]) == 2
    assert f"-o would replace {file}" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_impossible_sizes_are_refused(command: MetadataCommand, tmp_path: Path) -> None:
    packed = tmp_path / "small"
    packed.write_bytes(struct.pack("<4Q", 0xA537A0AA6309EF77, 3, BLOCK, 1 << 60))
    status, _, err = command("unpack", "-o", tmp_path / "found", packed)
    assert status == 1
    assert f"its metadata has {(1 << 60) * BLOCK} bytes, and " in err
    assert not (tmp_path / "found").exists()
