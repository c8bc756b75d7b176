"""A pool that thinsim did not make is watched by its counters, its committed map and its file."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node.reclaim.live_pool import BLOCK, EACH_KIND, LivePool, live_pool

pytestmark = pytest.mark.extents


@pytest.fixture(params=EACH_KIND)
def pool(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LivePool]:
    with live_pool(request.param, tmp_path, monkeypatch) as made:
        yield made


def watch(pool: LivePool, *words: str) -> str:
    done = pool.machine.run(sys.executable, "-m", "thinsim", "watch", pool.name, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched(pool: LivePool) -> dict[str, Any]:
    pool.machine.dmsetup("status", pool.name)  # commits
    found: dict[str, Any] = json.loads(watch(pool, "--count", "1", "--json"))
    return found


def test_a_pool_without_a_store_shows_use_leak_and_discards(pool: LivePool) -> None:
    pool.create(1)
    pool.create(2)
    pool.write(1, *range(10))
    pool.write(2, *range(5))
    pool.held()
    before = watched(pool)
    assert (before["used"], before["host"], before["leaked"]) == (15 * BLOCK, 15 * BLOCK, 0)
    assert (before["given_back"], before["punches"]) == (None, None)
    assert [device["thin_id"] for device in before["devices"]] == [1, 2]
    pool.discard(1, 0, 4)
    pool.delete(2)
    now = watched(pool)
    assert (now["used"], now["host"], now["leaked"]) == (6 * BLOCK, 11 * BLOCK, 5 * BLOCK)
    assert now["discarded"] - before["discarded"] == 4 * BLOCK
    assert now["discard_requests"] > before["discard_requests"]
    shown = watch(pool, "--count", "2", "--interval", "0.1")
    assert "discards per second" in shown
    assert "freed on the host" not in shown
    pool.assert_sound()
