"""The map of the file below a partition or a linear volume shows what a pool has lost there."""

import json
import sys
from pathlib import Path

import pytest

from tests.dm.drop_in_machine import SECTORS, machine_of_its_own
from tests.node.reclaim.live_pool import BLOCK, EACH_KIND, LivePool, live_pool
from tests.node.reclaim.loop_partition import needs_partitions, partition_of
from thinsim.cli.statuses import DONE, LEAKED

pytestmark = pytest.mark.extents

_FIRST = 1 << 20


@pytest.mark.rig
@needs_partitions
def test_the_file_below_a_partition_shows_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    with disk.open("xb") as file:
        file.truncate(_FIRST + SECTORS * 512 + _FIRST)
    with (
        machine_of_its_own(tmp_path, monkeypatch) as machine,
        partition_of(disk, first=_FIRST, length=SECTORS * 512) as partition,
    ):
        machine.data = str(partition)
        machine.make_pool()
        assert_reclaimed(LivePool(machine, tmp_path), disk)


@pytest.mark.parametrize("kind", EACH_KIND)
def test_the_file_below_a_linear_volume_shows_what_is_lost(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_pool(kind, tmp_path, monkeypatch) as pool:
        machine, half = pool.machine, SECTORS // 2
        machine.dmsetup("remove", "--retry", pool.name)
        volume = f"{machine.prefix}-volume"
        table = f"0 {half} linear {machine.data} {half}\n{half} {half} linear {machine.data} 0\n"
        machine.dmsetup("create", volume, stdin=table)
        machine.data = f"/dev/mapper/{volume}"
        machine.make_pool()
        assert_reclaimed(pool, pool.data)
        machine.dmsetup("remove", "--retry", volume)


def assert_reclaimed(pool: LivePool, file: Path) -> None:
    """Lose 20 blocks of the pool, whose data is in *file*, and reclaim them."""
    for number in (1, 2):
        pool.create(number)
    pool.scatter(1, 2, runs=20)
    pool.create(3)  # each message commits
    pool.delete(1)

    done = pool.machine.run(sys.executable, "-m", "thinsim", "audit", pool.name, "--json")
    assert done.returncode == LEAKED, done.stderr
    [found] = json.loads(done.stdout)
    assert (found["unmapped"], found["file"]) == ("", str(file))
    assert (found["held"], found["reclaimable"]) == (40 * BLOCK, 20 * BLOCK)
    assert [(each["thin_id"], each["bytes"]) for each in found["former_owners"]] == [(1, 20 * BLOCK)]

    done = pool.reclaim("--json")
    assert done.returncode == DONE, done.stderr
    result = json.loads(done.stdout)
    assert (result["promised"], result["freed"], result["left"]) == (20 * BLOCK, 20 * BLOCK, 0)
    assert (result["held_before"], result["held_after"]) == (40 * BLOCK, 20 * BLOCK)
    pool.verify()
    pool.assert_sound()
