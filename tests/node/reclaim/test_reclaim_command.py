"""``thinsim reclaim`` frees what a pool has freed, on pools that thinsim did not make."""

import hashlib
import json
import signal
import threading

import pytest

from tests.node.reclaim.live_pool import BLOCK, PATIENCE, LivePool, killed_process_group

pytestmark = pytest.mark.extents


def test_it_frees_what_deleted_devices_have_lost(pool: LivePool) -> None:
    for number in (1, 2, 3):
        pool.create(number)
    pool.scatter(1, 2, 3, runs=8, length=4)
    pool.snapshot(4, 1)
    pool.write(4, 0, 1)
    for number in (1, 2):
        pool.delete(number)
    lost = 2 * BLOCK + 32 * BLOCK  # the two broken blocks of 1, and all of 2
    used, held = pool.used_blocks(), pool.held()
    done = pool.reclaim("--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["promised"], result["discarded"], result["freed"]) == (lost, lost, lost)
    assert result["complete"]
    assert result["pauses"] >= 1
    assert 0 < result["longest_pause"] <= result["paused"] <= result["seconds"]
    assert pool.held() == held - lost
    assert pool.used_blocks() == used
    pool.verify()
    again = json.loads(pool.reclaim("--json").stdout)
    assert (again["promised"], again["pauses"], again["rounds"]) == (0, 0, 0)
    pool.assert_sound()


def test_a_writer_goes_on_meanwhile(pool: LivePool) -> None:
    for number in (1, 2, 3):
        pool.create(number)
    pool.scatter(1, 2, runs=80)
    pool.delete(1)
    ended = threading.Event()

    def write() -> None:
        block = 0
        while not ended.is_set():
            pool.write(3, block % 600)
            block += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = pool.reclaim("--json", "--pause", "5ms")
    finally:
        ended.set()
        writer.join()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["complete"]
    assert result["freed"] > 0
    assert result["left"] == 0
    pool.verify()
    assert json.loads(pool.reclaim("--json", "--dry-run").stdout)["promised"] == 0
    pool.assert_sound()


def test_a_dry_run_changes_nothing(pool: LivePool) -> None:
    pool.create(1)
    pool.scatter(1, runs=20)
    pool.create(2)
    pool.delete(1)
    pool.held()
    before = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (pool.data, pool.metadata)]
    held = pool.held()
    done = pool.reclaim("--dry-run")
    assert done.returncode == 0
    assert done.stdout == (
        f"{pool.name}: the host holds 1.2 MiB for blocks that the pool has freed, in 1 runs; thinsim reclaim "
        f"would free it by discards of {pool.machine.data}\n"
    )
    assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in (pool.data, pool.metadata)] == before
    assert pool.held() == held
    pool.assert_sound()


def test_small_runs_are_left(pool: LivePool) -> None:
    for number in (1, 2):
        pool.create(number)
    pool.scatter(1, 2, runs=10)
    pool.write(1, *range(100, 110))
    pool.delete(1)
    result = json.loads(pool.reclaim("--json", "--min-run", "128K").stdout)
    assert result["freed"] == 10 * BLOCK
    pool.verify()
    pool.assert_sound()


def test_an_interrupt_shows_what_was_freed_and_leaves_the_pool_running(pool: LivePool) -> None:
    pool.lose(300)
    with pool.started("--json", "--rate", "1M") as process:
        try:
            while pool.held() > 560 * BLOCK:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            killed_process_group(process)
    assert process.returncode == 130, errors
    result = json.loads(output)
    assert not result["complete"]
    assert 0 < result["freed"] < result["promised"]
    assert not pool.is_suspended()
    pool.verify()
    pool.assert_sound()


def test_a_pool_that_somebody_suspended_is_left_to_them(pool: LivePool) -> None:
    pool.machine.dmsetup("suspend", pool.name)
    done = pool.reclaim()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"thinsim: pool {pool.name} is suspended, and not by thinsim: dmsetup resume {pool.name}, if nobody "
        "needs it so\n"
    )
    assert pool.is_suspended()
    pool.machine.dmsetup("resume", pool.name)


def test_a_pool_that_needs_a_check_is_refused(pool: LivePool) -> None:
    machine = pool.machine
    table = f"0 524288 thin-pool {machine.metadata} {machine.data} 128 0 1 read_only"
    machine.dmsetup("suspend", pool.name)
    machine.dmsetup("load", pool.name, "--table", table)
    machine.dmsetup("resume", pool.name)
    done = pool.reclaim()
    assert done.returncode == 1
    assert done.stderr == (
        f"thinsim: pool {pool.name} is in mode ro: deactivate it and run thin_check, then thin_repair\n"
    )


def test_an_unknown_pool_is_named_with_the_others(pool: LivePool) -> None:
    done = pool.machine.run(*pool.command()[:-1], f"{pool.name}x")
    assert done.returncode == 1
    assert done.stderr.startswith(f"thinsim: pool '{pool.name}x' is not running")
    assert pool.name in done.stderr
