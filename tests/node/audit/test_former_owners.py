"""``thinsim audit`` names the former owners of lost space, on pools that thinsim did not make."""

import json
import sys
from typing import Any

import pytest

from tests.node.reclaim.live_pool import BLOCK, LivePool
from thinsim.cli.statuses import DONE, LEAKED

pytestmark = pytest.mark.extents


def audited(pool: LivePool, *words: str, status: int = LEAKED) -> dict[str, Any]:
    done = pool.machine.run(sys.executable, "-m", "thinsim", "audit", *words, "--json")
    assert done.returncode == status, done.stderr
    [found] = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def rows(found: dict[str, Any]) -> list[tuple[int | None, bool, int, int]]:
    return [
        (each["thin_id"], each["in_pool"], each["blocks"], each["bytes"]) for each in found["former_owners"]
    ]


def test_the_space_of_deleted_devices_is_theirs(pool: LivePool) -> None:
    for number in (1, 2, 3):
        pool.create(number)
    pool.scatter(1, 2, 3, runs=8, length=4)
    pool.snapshot(4, 1)
    pool.write(4, *range(6))
    pool.delete(2)
    pool.delete(4)
    found = audited(pool, pool.name)
    assert rows(found) == [(2, False, 32, 32 * BLOCK), (4, False, 6, 6 * BLOCK)]
    assert found["reclaimable"] == 38 * BLOCK

    shown = pool.machine.run(sys.executable, "-m", "thinsim", "audit", pool.name)
    assert ["2", "32", "2", "MiB"] in [line.split() for line in shown.stdout.splitlines()]
    assert shown.stdout.index("leak: the host holds") < shown.stdout.index("last mapped by")
    page = pool.directory / "audit.html"
    pool.machine.run(sys.executable, "-m", "thinsim", "audit", pool.name, "--html", str(page))
    assert "Former owners" in page.read_text()

    assert rows(audited(pool, pool.name, "--no-former-owners")) == []
    assert pool.reclaim().returncode == DONE
    assert rows(audited(pool, pool.name, status=DONE)) == []
    pool.verify()
    pool.assert_sound()


def test_new_devices_may_hide_an_owner_and_never_become_one(pool: LivePool) -> None:
    for number in (1, 2):
        pool.create(number)
    pool.scatter(1, 2, runs=20)
    pool.create(4)
    pool.delete(1)
    for number in range(5, 25):
        pool.create(number)
        pool.write(number, 0)
    found = audited(pool, pool.name)
    owners = {each["thin_id"]: each["bytes"] for each in found["former_owners"]}
    assert owners.keys() <= {1, None}
    assert sum(owners.values()) == found["reclaimable"]
    pool.assert_sound()


def test_metadata_alone_shows_them(pool: LivePool) -> None:
    for number in (1, 2):
        pool.create(number)
    pool.scatter(1, 2, runs=20)
    pool.create(3)  # each message commits
    pool.delete(1)
    pool.assert_sound()
    found = audited(pool, "--offline", str(pool.metadata), status=DONE)
    assert rows(found) == [(1, False, 20, 20 * BLOCK)]
    assert found["reclaimable"] is None
