"""These tests cause several faults at once: hung servers, several kills, two concurrent clean-ups."""

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
def run(tmp_path: Path, image: Path) -> InterruptedRun:
    run = InterruptedRun(tmp_path, image)
    run.start()
    return run


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stopped", ["store", "daemon"])
def test_a_run_whose_server_is_stopped_ends_when_it_is_interrupted(
    run: InterruptedRun, moment: str, stopped: str
) -> None:
    assert run.await_phase(moment)
    run.signal_server(stopped, signal.SIGSTOP)
    assert run.process.poll() is None
    run.hit("interrupt")
    assert run.end() == 130, run.said()
    assert run.left() == []


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stopped", ["store", "daemon"])
def test_doctor_cleans_up_after_a_killed_run_whose_server_is_stopped(
    run: InterruptedRun, moment: str, stopped: str
) -> None:
    assert run.await_phase(moment)
    run.signal_server(stopped, signal.SIGSTOP)
    run.hit("kill")
    # The run is not awaited before doctor: a thread may be in the kernel until the stopped server answers.
    done = run.doctor()
    assert done.returncode == 0, done.stdout
    assert run.end() == -9
    assert run.left() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_loses_both_servers_names_the_store(run: InterruptedRun, moment: str) -> None:
    assert run.await_phase(moment)
    run.signal_server("store", signal.SIGKILL)
    run.signal_server("daemon", signal.SIGKILL)
    assert run.end() == 1, run.said()
    assert "the backing store (pid " in run.said()
    assert "Traceback" not in run.said()
    assert run.left() == []


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
def test_doctor_cleans_up_after_every_process_was_killed(run: InterruptedRun, moment: str) -> None:
    assert run.await_phase(moment)
    run.hit("kill")
    for victim in ("store", "daemon"):
        run.signal_server(victim, signal.SIGKILL)
    run.end()
    assert run.doctor().returncode == 0
    assert run.left() == []
    again = run.doctor()
    assert again.returncode == 0
    assert "cleaned: " not in again.stdout


@pytest.mark.alone
def test_two_concurrent_clean_ups_do_not_disturb_each_other(run: InterruptedRun) -> None:
    assert run.await_phase(LifecyclePhase.RUN)
    run.hit("kill")
    run.end()
    doctors = [
        subprocess.Popen(
            [sys.executable, "-m", "thinsim", "doctor", "--clean"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=run.environment,
        )
        for _ in range(2)
    ]
    for doctor in doctors:
        output, errors = doctor.communicate(timeout=PATIENCE * 2)
        assert doctor.returncode == 0, output + errors
    assert run.left() == []


@pytest.mark.alone
def test_doctor_does_not_touch_a_run_that_is_alive(run: InterruptedRun) -> None:
    for phase in (LifecyclePhase.FRESH, LifecyclePhase.RUN):
        assert run.await_phase(phase)
        done = run.doctor()
        assert done.returncode == 0
        assert "cleaned: " not in done.stdout
    assert run.end() == 0, run.said()
    assert run.left() == []


def test_signals_during_the_clean_up_change_nothing(run: InterruptedRun) -> None:
    assert run.await_phase(LifecyclePhase.RUN)
    run.hit("interrupt")
    while run.process.poll() is None:
        run.hit("interrupt")
        run.hit("terminate")
        time.sleep(0.02)
    assert run.end() == 130, run.said()
    assert run.left() == []
    assert "Traceback" not in run.said()
