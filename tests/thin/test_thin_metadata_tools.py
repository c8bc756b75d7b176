"""thin-provisioning-tools read the engine's metadata, and the engine reads theirs."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.thin.metadata_tools import load, needs_tools, output_of, run, thin_check, thin_dump
from tests.thin.ram_pool import RamPool, busy_pool
from tests.thin.recorded_history import HISTORIES, Replay, parse_dump, records
from thinsim.cli.main import commands
from thinsim.thin.mapping import Run
from thinsim.thin.messages import send_message
from thinsim.thin.metadata.dump import xml_lines
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

pytestmark = needs_tools


@pytest.mark.parametrize("seed", HISTORIES)
def test_a_recorded_history_leaves_metadata_with_the_kernel_s_dump(seed: int, tmp_path: Path) -> None:
    replay = Replay(seed)
    replay.answers()
    replay.ram.commit()
    recorded = next(record for record in records(seed) if record["op"] == "thin_dump")
    assert thin_check(replay.ram.metadata, tmp_path / "metadata") == ""
    assert thin_dump(tmp_path / "metadata") == recorded["xml"]
    own = PoolMetadata(replay.ram.metadata, None)
    assert "".join(f"{line}\n" for line in xml_lines(own)) == recorded["xml"]
    assert parse_dump(recorded["xml"]).keys() == set(own.thin_ids())


def test_the_tools_and_the_engine_read_the_same(tmp_path: Path) -> None:
    ram = busy_pool()
    assert ram.problems() == []
    path = tmp_path / "metadata"
    assert thin_check(ram.metadata, path) == ""
    assert run("thin_check", "--metadata-snap", path).returncode == 0
    own = PoolMetadata(ram.metadata, 1)
    assert thin_dump(path) == "".join(f"{line}\n" for line in xml_lines(own))
    listed = output_of("thin_ls", "--no-headers", "--format", "DEV,MAPPED_BLOCKS,CREATE_TIME,SNAP_TIME", path)
    details = {thin_id: own.details(thin_id) for thin_id in own.thin_ids()}
    assert [[int(word) for word in line.split()] for line in listed.splitlines()] == [
        [thin_id, each.mapped_blocks, each.creation_time, each.snapshotted_time]
        for thin_id, each in details.items()
    ]


def test_the_metadata_snapshot_has_the_reserved_state(tmp_path: Path) -> None:
    ram = busy_pool()
    path = ram.metadata.save(tmp_path / "metadata")
    own = PoolMetadata(ram.metadata, 1)
    held = "".join(f"{line}\n" for line in xml_lines(own, held=True))
    assert thin_dump("--metadata-snap", path) == held
    devices = parse_dump(held)
    assert sorted(devices) == [0, 1, 2, 3, *range(10, 16)]
    assert all(details["mapped_blocks"] == "600" for details, _ in devices.values())


def test_thin_rmap_and_thin_delta_read_the_trees(tmp_path: Path) -> None:
    ram = RamPool(data_blocks=100)
    ram.write_blocks(ram.thin(1), 0, 20)
    ram.write_blocks(ram.snap(2, 1), 5, 3)
    ram.commit()
    path = ram.metadata.save(tmp_path / "metadata")
    # 0.9 and 1.0 print the devices of a data block in different orders.
    assert sorted(output_of("thin_rmap", "--region", "0..23", path).splitlines()) == [
        "data 0..20 -> thin(1) 0..20",
        "data 0..5 -> thin(2) 0..5",
        "data 20..23 -> thin(2) 5..8",
        "data 8..20 -> thin(2) 8..20",
    ]
    delta = output_of("thin_delta", "--thin1", "1", "--thin2", "2", path)
    assert '<different begin="5" length="3"/>' in delta


def test_a_pool_that_thin_restore_wrote_opens_and_goes_on(tmp_path: Path) -> None:
    ram = busy_pool(block_size=128)
    xml = tmp_path / "dump.xml"
    xml.write_text("".join(f"{line}\n" for line in xml_lines(PoolMetadata(ram.metadata, None))))
    restored = tmp_path / "restored"
    with restored.open("wb") as file:
        file.truncate(512 * 4096)
    assert run("thin_restore", "-i", xml, "-o", restored).returncode == 0
    store = load(restored)
    pool = Pool(PoolFeatures(), ram.block_size, 3000, store)
    assert pool.check() == []
    assert not pool.changed
    before = {thin_id: pool.mappings(thin_id) for thin_id in pool.thin_ids()}
    assert before == {thin_id: ram.pool.mappings(thin_id) for thin_id in ram.pool.thin_ids()}
    send_message(pool, "create_snap 99 10")
    device = pool.open_thin(99, Sectors(4000 * ram.block_size))
    plan = device.plan_write(0, 700 * ram.block)
    device.complete(plan)
    send_message(pool, "delete 1")
    pool.commit()
    assert pool.check() == []
    assert thin_check(store, tmp_path / "again") == ""
    assert pool.mappings(10) == before[10]


def test_thin_repair_makes_metadata_that_opens_again(tmp_path: Path) -> None:
    ram = busy_pool(block_size=128)
    damaged, repaired = ram.metadata.save(tmp_path / "damaged"), tmp_path / "repaired"
    with repaired.open("wb") as file:
        file.truncate(512 * 4096)
    assert run("thin_repair", "-i", damaged, "-o", repaired).returncode == 0
    pool = Pool(PoolFeatures(), ram.block_size, 3000, load(repaired))
    assert pool.check() == []
    assert {each: pool.mappings(each) for each in pool.thin_ids()} == {
        each: ram.pool.mappings(each) for each in ram.pool.thin_ids()
    }


def test_needs_check_is_set_for_the_tools_and_cleared_by_them(tmp_path: Path) -> None:
    ram = RamPool()
    ram.write_blocks(ram.thin(1), 0, 3)
    ram.pool.transaction.abort()
    path = ram.metadata.save(tmp_path / "metadata")
    assert 'flags="1"' in output_of("thin_dump", path)
    assert ram.pool.status().needs_check
    assert run("thin_check", "--clear-needs-check-flag", path).returncode == 0
    ram.metadata.content = load(path).content
    ram.crash()
    assert (ram.pool.status().mode, ram.pool.status().needs_check) == ("rw", False)


def test_a_leaked_metadata_block_is_one_for_thin_check_and_is_repaired_by_it(tmp_path: Path) -> None:
    ram = RamPool()
    ram.message("create_thin 1")
    leaked = ram.pool.metadata.space.new_block()
    ram.pool.metadata.transaction.uncommitted = True
    ram.commit()
    assert ram.problems() == [f"metadata block {leaked}: 1 references, but 0 uses: leaked"]
    complaints = thin_check(ram.metadata, tmp_path / "metadata")
    assert (
        f"block {leaked}, expected 0, but got 1" in complaints
        or "1 metadata blocks have leaked" in complaints
    )
    path = tmp_path / "metadata"
    assert run("thin_check", "--ignore-non-fatal-errors", path).returncode == 0
    assert run("thin_check", "--auto-repair", path).returncode == 0
    ram.metadata.content = load(path).content
    ram.crash()
    assert ram.problems() == []


def test_the_tools_see_the_growth_of_both_devices(tmp_path: Path) -> None:
    ram = RamPool(data_blocks=100, metadata_blocks=64)
    ram.write_blocks(ram.thin(1), 0, 50)
    ram.commit()
    for metadata_blocks, data_blocks in ((4000, 30000), (16320, 40000), (16330, 40000), (70000, 400000)):
        ram.metadata.blocks = metadata_blocks
        ram.data_blocks = data_blocks
        ram.crash()
        status = ram.pool.status()
        assert (status.total_metadata, status.total_data) == (metadata_blocks, data_blocks)
        assert ram.problems() == []
        assert thin_check(ram.metadata, tmp_path / "metadata") == ""
    assert ram.pool.mappings(1) == [Run(0, 0, 50, 0)]


def test_the_commands_agree_with_the_tools(tmp_path: Path) -> None:
    path = busy_pool().metadata.save(tmp_path / "metadata")
    dumped = CliRunner().invoke(commands, ["metadata", "dump", str(path)], standalone_mode=False)
    assert dumped.output == thin_dump(path)
    usage = CliRunner().invoke(commands, ["metadata", "usage", "--json", str(path)], standalone_mode=False)
    assert [each["dev_id"] for each in json.loads(usage.output)["devices"]] == [0, 1, 2, *range(10, 16)]
    assert subprocess.run(["thin_check", "-q", str(path)], check=False).returncode == 0
