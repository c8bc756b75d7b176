"""The load of the machine is counted without this process's own work, and named in words."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.measure.machine_load import MachineLoad, read_load, usual_load, watched_load

QUIET = MachineLoad(
    seconds=10,
    others=0.01,
    steal=0,
    cpu_pressure=0.03,
    io_pressure=0.01,
    memory_pressure=0,
    load_average=0.4,
)
_SPIN = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"


def proc(at: Path, busy: int, stolen: int, waited: int | None) -> Path:
    """Make the files of a proc file system, with times in ticks, and in microseconds for *waited*."""
    (at / "pressure").mkdir(parents=True)
    (at / "stat").write_text(f"cpu  {busy} 0 0 900 0 0 0 {stolen} 0 0\ncpu0 1 1 1 1\n")
    (at / "loadavg").write_text("2.50 1.00 0.50 1/100 4242\n")
    if waited is not None:
        for name in ("cpu", "io", "memory"):
            some = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={waited}\n"
            (at / "pressure" / name).write_text(some + some.replace("some", "full"))
    return at


def test_the_load_is_the_difference_of_two_readings(tmp_path: Path) -> None:
    before = read_load(proc(tmp_path / "before", 100, 10, 1_000_000))
    after = read_load(proc(tmp_path / "after", 900, 110, 3_500_000))
    apart = replace(after, at=before.at + 10, own=before.own, processors=2)
    found = apart.since(before)
    assert found.others == pytest.approx(8 / 20)
    assert found.steal == pytest.approx(1 / 20)
    assert found.cpu_pressure == found.io_pressure == found.memory_pressure == pytest.approx(0.25)
    assert (found.seconds, found.load_average) == (pytest.approx(10), 2.5)
    assert replace(apart, own=before.own + 8).since(before).others == pytest.approx(0)


def test_a_kernel_without_pressure_counters_has_no_pressure(tmp_path: Path) -> None:
    before = read_load(proc(tmp_path / "before", 100, 0, None))
    found = replace(before, at=before.at + 1).since(before)
    assert (found.cpu_pressure, found.io_pressure, found.memory_pressure) == (None, None, None)
    assert found.disturbances() == []
    busy = replace(found, others=0.5)
    assert busy.disturbances() == ["other programs kept the processors busy"]


def test_the_work_of_a_child_is_its_parents_own_while_it_runs_and_afterwards() -> None:
    before = read_load()
    with subprocess.Popen([sys.executable, "-c", _SPIN + "\ninput()"], stdin=subprocess.PIPE) as child:
        while read_load().own - before.own < 0.5:
            assert child.poll() is None
            time.sleep(0.01)
        child.communicate(b"\n")
    assert read_load().own - before.own >= 0.5


def test_a_block_has_its_load_once_it_has_ended() -> None:
    with watched_load() as watch:
        with pytest.raises(ValueError, match="has not ended"):
            _ = watch.load
        time.sleep(0.01)
    assert watch.load.seconds >= 0.01
    assert 0 <= watch.load.others <= 1


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (QUIET, []),
        (
            replace(QUIET, others=0.4, cpu_pressure=0.38),
            ["other programs kept the processors busy (waited for a processor 38 % of the time)"],
        ),
        # The programs of the run itself made each other wait.
        (replace(QUIET, cpu_pressure=0.9), []),
        (replace(QUIET, steal=0.07), ["the hypervisor took 7 % of the processor time"]),
        (replace(QUIET, io_pressure=0.5), ["programs waited for a disk 50 % of the time"]),
        (replace(QUIET, memory_pressure=0.1), ["programs waited for memory 10 % of the time"]),
    ],
)
def test_a_disturbance_is_named_in_words(load: MachineLoad, words: list[str]) -> None:
    assert load.disturbances() == words


def test_a_load_like_that_of_the_other_stretches_disturbs_nothing() -> None:
    busy = replace(QUIET, others=0.4, cpu_pressure=0.4, io_pressure=0.5)
    assert busy.disturbances(busy) == []
    assert busy.disturbances(usual_load([QUIET, QUIET, busy])) == busy.disturbances()
    assert usual_load([]) is None
