"""A run is interrupted, and its processes killed, at every phase: nothing of it stays on the machine.

THINSIM_LONG_CAMPAIGN=1 takes every phase with every victim at several moments.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.interrupted_run import InterruptedRun, small_image
from thinsim.scenario.container_lifecycle import LifecyclePhase

PHASES = ("setting up", *LifecyclePhase.ALL)
VICTIMS = ("interrupt", "terminate", "kill", "store", "daemon")
EXIT = {"interrupt": 130, "terminate": 130, "kill": -9, "store": 1, "daemon": 1}
DEAD = {"store": "the backing store (pid ", "daemon": "the emulated device-mapper (pid "}

LONG = bool(os.environ.get("THINSIM_LONG_CAMPAIGN"))


# After a kill, doctor cleans up every dead store of the machine.
_MARKS = {"kill": pytest.mark.alone}


def _cases() -> Iterator[tuple[str, str, float]]:
    chance = random.Random(20240817)
    if LONG:
        for phase in PHASES:
            for victim in VICTIMS:
                for most in (0, 0.1, 0.3, 0.6, 1.0):
                    yield phase, victim, round(chance.uniform(0, most), 3)
        return
    for number, phase in enumerate(PHASES):
        for victim in VICTIMS[number % 3 :: 3]:
            yield phase, victim, round(chance.choice((0, 0.05, 0.2)), 3)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_image(tmp_path_factory.mktemp("image"))


@pytest.mark.rig
@pytest.mark.parametrize(
    ("phase", "victim", "delay"),
    [pytest.param(*case, marks=_MARKS.get(case[1], ())) for case in _cases()],
)
def test_nothing_is_left_of_a_run_that_is_hit(
    tmp_path: Path, image: Path, phase: str, victim: str, delay: float
) -> None:
    run = InterruptedRun(tmp_path, image)
    run.start()
    run.await_phase(phase)
    time.sleep(delay)
    hit = run.hit(victim)
    status = run.end()
    if victim == "kill":
        cleaned = run.doctor()
        assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    output = run.said()
    assert run.left() == [], output
    assert "Traceback" not in output
    # A signal near the end can come too late to change the exit status.
    late = f": {PHASES[-1]}: " in output or not hit
    assert status == EXIT[victim] or (late and status == 0), output
    if victim in DEAD and status:
        assert DEAD[victim] in output
        assert output.count("thinsim: ") == 1


@pytest.mark.rig
@pytest.mark.parametrize("victim", ["interrupt", "terminate", pytest.param("kill", marks=_MARKS["kill"])])
@pytest.mark.parametrize("delay", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7] if LONG else [0.3])
def test_nothing_is_left_of_a_run_that_is_hit_while_it_starts(
    tmp_path: Path, image: Path, victim: str, delay: float
) -> None:
    run = InterruptedRun(tmp_path, image)
    run.start()
    time.sleep(delay)
    run.hit(victim)
    # While its modules load, the signal itself ends it.
    assert run.end() in (EXIT[victim], -2, -15, -9)
    if victim == "kill":
        assert run.doctor().returncode == 0
    assert run.left() == [], run.said()
    assert "Traceback" not in run.said()


@pytest.mark.rig
def test_the_next_run_after_a_crash_cleans_up_first_and_works(tmp_path: Path, image: Path) -> None:
    run = InterruptedRun(tmp_path, image)
    run.start()
    assert run.await_phase(LifecyclePhase.RUN)
    run.hit("kill")
    assert run.end() == -9
    assert run.left()
    run.start()
    assert run.end() == 0, run.said()
    assert "cleaning up after a killed run" in run.said()
    assert run.left() == []
