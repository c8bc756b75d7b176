"""More than one thing goes wrong at a time: servers that hang, several deaths, two who clean up at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.machine.interrupted_run import PATIENCE, InterruptedRun, small_image
from thinsim.scenario.container_lifecycle import LifecyclePhase

pytestmark = pytest.mark.rig

LONG = bool(os.environ.get("THINSIM_LONG_CAMPAIGN"))
MOMENTS = (
    (LifecyclePhase.FRESH, LifecyclePhase.IMPORT, LifecyclePhase.RUN, LifecyclePhase.REMOVE_IMAGE)
    if LONG
    else (LifecyclePhase.RUN,)
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def bench(tmp_path: Path, image: Path) -> InterruptedRun:
    bench = InterruptedRun(tmp_path, image)
    bench.start()
    return bench


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stopped", ["store", "daemon"])
def test_a_run_whose_server_is_stopped_ends_when_it_is_interrupted(
    bench: InterruptedRun, moment: str, stopped: str
) -> None:
    assert bench.await_phase(moment)
    bench.signal_server(stopped, signal.SIGSTOP)
    assert bench.process.poll() is None
    bench.hit("interrupt")
    assert bench.end() == 130, bench.said()
    assert bench.left() == []


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stopped", ["store", "daemon"])
def test_doctor_cleans_up_after_a_killed_run_whose_server_is_stopped(
    bench: InterruptedRun, moment: str, stopped: str
) -> None:
    assert bench.await_phase(moment)
    bench.signal_server(stopped, signal.SIGSTOP)
    bench.hit("kill")
    # Not waited for: a thread of it may be in the kernel until the stopped server answers.
    done = bench.doctor()
    assert done.returncode == 0, done.stdout
    assert bench.end() == -9
    assert bench.left() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_loses_both_servers_names_the_store(bench: InterruptedRun, moment: str) -> None:
    assert bench.await_phase(moment)
    bench.signal_server("store", signal.SIGKILL)
    bench.signal_server("daemon", signal.SIGKILL)
    assert bench.end() == 1, bench.said()
    assert "the backing store (pid " in bench.said()
    assert "Traceback" not in bench.said()
    assert bench.left() == []


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
def test_doctor_cleans_up_where_every_process_was_killed(bench: InterruptedRun, moment: str) -> None:
    assert bench.await_phase(moment)
    bench.hit("kill")
    for victim in ("store", "daemon"):
        bench.signal_server(victim, signal.SIGKILL)
    bench.end()
    assert bench.doctor().returncode == 0
    assert bench.left() == []
    again = bench.doctor()
    assert again.returncode == 0
    assert "cleaned: " not in again.stdout


@pytest.mark.alone
def test_two_who_clean_up_at_once_do_not_disturb_each_other(bench: InterruptedRun) -> None:
    assert bench.await_phase(LifecyclePhase.RUN)
    bench.hit("kill")
    bench.end()
    doctors = [
        subprocess.Popen(
            [sys.executable, "-m", "thinsim", "doctor", "--clean"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=bench.environment,
        )
        for _ in range(2)
    ]
    for doctor in doctors:
        output, errors = doctor.communicate(timeout=PATIENCE * 2)
        assert doctor.returncode == 0, output + errors
    assert bench.left() == []


@pytest.mark.alone
def test_doctor_does_not_touch_a_run_that_is_alive(bench: InterruptedRun) -> None:
    for phase in (LifecyclePhase.FRESH, LifecyclePhase.RUN):
        assert bench.await_phase(phase)
        done = bench.doctor()
        assert done.returncode == 0
        assert "cleaned: " not in done.stdout
    assert bench.end() == 0, bench.said()
    assert bench.left() == []


def test_signals_during_the_clean_up_change_nothing(bench: InterruptedRun) -> None:
    assert bench.await_phase(LifecyclePhase.RUN)
    bench.hit("interrupt")
    while bench.process.poll() is None:
        bench.hit("interrupt")
        bench.hit("terminate")
        time.sleep(0.02)
    assert bench.end() == 130, bench.said()
    assert bench.left() == []
    assert "Traceback" not in bench.said()
