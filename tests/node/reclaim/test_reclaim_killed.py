"""A reclaim that is killed or stopped at any moment leaves a pool that runs and is sound."""

import signal
import subprocess
import time

import psutil
import pytest

from tests.node.reclaim.live_pool import PATIENCE, LivePool, killed_process_group, soon

pytestmark = pytest.mark.extents

_GUARD = "thinsim.node.reclaim.guard_process"
_SUSPENDED_MOST_OF_THE_TIME = ("--pause", "5ms", "--share", "90", "--rate", "8M")


def guards() -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if _GUARD in (each.info["cmdline"] or [])]


def guards_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [each for each in guards() if str(process.pid) in each.info["cmdline"]]


@pytest.mark.parametrize("moments", [5, pytest.param(100, marks=pytest.mark.long)])
def test_the_pool_runs_after_a_kill_at_any_moment(pool: LivePool, moments: int) -> None:
    pool.lose(400)
    suspended = 0
    for _ in range(moments):
        with pool.started(*_SUSPENDED_MOST_OF_THE_TIME) as process:
            try:
                assert soon(lambda process=process: bool(guards_of(process)))  # type: ignore[misc]
                time.sleep(pool.random.uniform(0, 0.6))
                process.kill()
                process.wait()
                suspended += pool.is_suspended()
            finally:
                killed_process_group(process)
        assert soon(lambda: not pool.is_suspended())
        assert soon(lambda process=process: not guards_of(process))  # type: ignore[misc]
        pool.write(2, 1000)
    print(f"{suspended} of {moments} kills found the pool suspended")
    pool.verify()
    assert pool.reclaim().returncode == 0
    pool.verify()
    pool.assert_sound()


def test_a_reclaim_that_is_stopped_within_a_pause_is_killed(pool: LivePool) -> None:
    pool.lose(400)
    with pool.started(*_SUSPENDED_MOST_OF_THE_TIME) as process:
        try:
            assert soon(lambda: bool(guards_of(process)))
            while not pool.is_suspended():
                process.send_signal(signal.SIGCONT)
                assert process.poll() is None
                time.sleep(pool.random.uniform(0, 0.05))
                process.send_signal(signal.SIGSTOP)
            _, errors = process.communicate(timeout=PATIENCE)  # until the guard has ended as well
        finally:
            killed_process_group(process)
    assert process.returncode == -signal.SIGKILL
    assert "so its guard killed the reclaim and resumed the pool" in errors
    assert not pool.is_suspended()
    pool.verify()
    pool.assert_sound()


def test_without_its_guard_a_reclaim_ends_and_discards_no_more(pool: LivePool) -> None:
    pool.lose(400)
    with pool.started(*_SUSPENDED_MOST_OF_THE_TIME) as process:
        try:
            assert soon(pool.is_suspended)
            [guard] = guards_of(process)
            guard.kill()
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            killed_process_group(process)
    assert process.returncode == 1
    assert errors.startswith("thinsim: the guard of the pool has ended")
    assert not pool.is_suspended()
    held = pool.held()
    pool.verify()
    assert pool.held() == held
    pool.assert_sound()
