"""Random histories with reclaims in between lose nothing: an oracle knows every block of every device."""

import os

import pytest

from tests.node.reclaim.live_pool import THIN_BLOCKS, LivePool

pytestmark = pytest.mark.extents

SEED = int(os.environ.get("THINSIM_ORACLE_SEED", "22"))
_MOST_DEVICES = 5


def step(pool: LivePool, next_number: int) -> int:
    """Do something to the pool at random; return the number for the next device."""
    active = sorted(pool.blocks)
    act = pool.random.choice(["write", "write", "write", "discard", "snapshot", "create", "delete"])
    if not active or (act == "create" and len(active) < _MOST_DEVICES):
        pool.create(next_number)
        return next_number + 1
    number = pool.random.choice(active)
    if act == "write":
        first = pool.random.randrange(THIN_BLOCKS - 40)
        pool.write(number, *range(first, first + pool.random.randrange(1, 40)))
    elif act == "discard":
        first = pool.random.randrange(THIN_BLOCKS - 60)
        pool.discard(number, first, pool.random.randrange(1, 60))
    elif act == "snapshot" and len(active) < _MOST_DEVICES:
        pool.snapshot(next_number, number)
        return next_number + 1
    elif act == "delete" and len(active) > 1:
        pool.delete(number)
    return next_number


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=pytest.mark.long)])
def test_a_history_with_reclaims_loses_nothing(pool: LivePool, rounds: int) -> None:
    print(f"THINSIM_ORACLE_SEED={SEED}")
    pool.random.seed(SEED)
    number = 1
    for _ in range(rounds):
        for _ in range(15):
            number = step(pool, number)
        done = pool.reclaim("--pause", "20ms", "--share", "80")
        assert done.returncode == 0, done.stderr
        pool.verify()
    pool.assert_sound()
