"""``thinsim metadata`` prints the content of metadata, exits with its statuses and writes nothing."""

import json
from pathlib import Path

import pytest

from tests.thin.metadata_command import MetadataCommand
from tests.thin.ram_pool import RamPool
from thinsim.cli.main import status_of


@pytest.fixture
def ram() -> RamPool:
    ram = RamPool()
    ram.write_blocks(ram.thin(1), 0, 5)
    snap = ram.snap(7, 1)
    ram.write_blocks(snap, 2)
    ram.pool.close_thin(snap)
    ram.commit()
    return ram


@pytest.fixture
def file(ram: RamPool, tmp_path: Path) -> Path:
    return ram.metadata.save(tmp_path / "metadata")


def test_sound_metadata_checks_with_status_0(command: MetadataCommand, file: Path) -> None:
    before = file.read_bytes()
    status, out, err = command("check", file)
    assert (status, err) == (0, "")
    assert out == f"{file}: 0 problems, 7 btree nodes\n"
    assert json.loads(command("check", "--json", file)[1]) == {
        "sound": True,
        "needs_check": False,
        "nodes": 7,
        "problems": [],
    }
    assert file.read_bytes() == before


def test_damage_is_named_with_status_1(command: MetadataCommand, ram: RamPool, tmp_path: Path) -> None:
    root = ram.pool.metadata.trees.top.lookup(ram.pool.metadata.superblock.mapping_root, 7)
    content = ram.metadata.content[root]
    ram.metadata.content[root] = content[:50] + b"!" + content[51:]
    status, out, _ = command("check", ram.metadata.save(tmp_path / "damaged"))
    assert status == 1
    assert out.startswith(f"thin 7: metadata block {root} is not a valid btree node: checksum 0x")
    assert ": 2 problems, " in out


def test_a_leak_is_reported_as_a_leak(command: MetadataCommand, ram: RamPool, tmp_path: Path) -> None:
    ram.pool.metadata.increment(40, 41)
    ram.commit()
    status, out, _ = command("check", "--json", ram.metadata.save(tmp_path / "leaking"))
    assert status == 1
    assert json.loads(out)["problems"] == [
        {"text": "data block 40: 1 references, but 0 uses: leaked", "leak": True}
    ]


def test_the_needs_check_flag_is_shown(command: MetadataCommand, ram: RamPool, tmp_path: Path) -> None:
    ram.pool.transaction.abort()
    file = ram.metadata.save(tmp_path / "flagged")
    assert command("check", file)[:2] == (
        0,
        f"{file}: 0 problems, 7 btree nodes, the needs_check flag is set\n",
    )
    assert "needs_check" in command("usage", file)[1]


def test_a_dump_goes_to_a_file_or_standard_output(
    command: MetadataCommand, file: Path, tmp_path: Path
) -> None:
    status, out, _ = command("dump", file)
    assert status == 0
    assert out.splitlines() == [
        '<superblock uuid="" time="1" transaction="0" flags="0" version="2" data_block_size="8" '
        'nr_data_blocks="48">',
        '  <device dev_id="1" mapped_blocks="5" transaction="0" creation_time="0" snap_time="1">',
        '    <range_mapping origin_begin="0" data_begin="0" length="5" time="0"/>',
        "  </device>",
        '  <device dev_id="7" mapped_blocks="5" transaction="0" creation_time="1" snap_time="1">',
        '    <range_mapping origin_begin="0" data_begin="0" length="2" time="0"/>',
        '    <single_mapping origin_block="2" data_block="5" time="1"/>',
        '    <range_mapping origin_begin="3" data_begin="3" length="2" time="0"/>',
        "  </device>",
        "</superblock>",
    ]
    assert command("dump", "-o", tmp_path / "xml", file)[1] == ""
    assert (tmp_path / "xml").read_text() == out
    document = json.loads(command("dump", "--json", file)[1])
    assert [device["dev_id"] for device in document["devices"]] == [1, 7]
    assert document["devices"][0]["mappings"] == [
        {"origin_begin": 0, "data_begin": 0, "length": 5, "time": 0}
    ]


def test_the_snapshot_is_dumped_when_one_is_held(
    command: MetadataCommand, ram: RamPool, file: Path, tmp_path: Path
) -> None:
    status, _, err = command("dump", "--snapshot", file)
    assert status == 1
    assert err.startswith("thinsim: no metadata snapshot is held")
    ram.message("reserve_metadata_snap")
    ram.message("delete 7")
    held = ram.metadata.save(tmp_path / "held")
    assert 'dev_id="7"' in command("dump", "--snapshot", held)[1]
    assert 'dev_id="7"' not in command("dump", held)[1]


def test_usage_counts_blocks_and_devices(command: MetadataCommand, file: Path) -> None:
    status, out, _ = command("usage", "--json", file)
    assert status == 0
    document = json.loads(out)
    assert document["metadata_blocks"] == {"total": 256, "allocated": 11, "used_with_reserve": 36}
    assert document["data_blocks"] == {"total": 48, "allocated": 6}
    assert [(each["dev_id"], each["mapped_sectors"]) for each in document["devices"]] == [(1, 40), (7, 40)]
    lines = command("usage", file)[1].splitlines()
    assert lines[:3] == [
        "metadata: 11 of 256 blocks of 4 KiB in use, 36 with the reserve",
        "data: 6 of 48 blocks of 4 KiB in use",
        "transaction id 0, no metadata snapshot",
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (bytes(1 << 20), "holds no pool's metadata: it starts with zeros"),
        (
            b"LUKS".ljust(1 << 16, b"\1"),
            "holds no pool's metadata: metadata block 0 is not a superblock: magic",
        ),
        (b"", "holds no pool's metadata: metadata block 0 is beyond the device's 0 blocks"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_other_content_is_refused_in_one_line(
    command: MetadataCommand, tmp_path: Path, verb: str, content: bytes, text: str
) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    status, out, err = command(verb, file)
    assert (status, out) == (1, "")
    assert err.startswith(f"thinsim: {file} {text}")
    assert err.count("\n") == 1


def test_a_missing_file_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert status_of(["metadata", "check", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err
