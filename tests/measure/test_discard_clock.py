"""A discard's clock separates its own work, its waits and the time of other programs."""

import time
from pathlib import Path

import pytest

from thinsim.measure.discard_clock import DiscardClock
from thinsim.measure.reference_work import NO_REFERENCE, ReferenceWork


def spin(seconds: float) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


def test_work_and_waits_of_all_discards_add_up() -> None:
    clock = DiscardClock()
    for _ in range(2):
        with clock.timing():
            spin(0.05)
            time.sleep(0.1)
    times = clock.times
    assert (times.discards, times.reference) == (2, NO_REFERENCE)
    assert times.processor >= 0.09
    # One of two waits of 0.1 s would be less. The kernel may count the end of a wait as a delay.
    assert times.seconds - times.processor - times.delayed >= 0.15


def test_a_discard_that_fails_is_timed_as_well() -> None:
    clock = DiscardClock()
    with pytest.raises(OSError, match="busy"), clock.timing():
        raise OSError("busy")
    assert clock.times.discards == 1


def test_the_reference_work_runs_around_each_discard_and_is_not_counted(tmp_path: Path) -> None:
    with ReferenceWork(tmp_path) as reference:
        clock = DiscardClock(reference)
        with clock.timing():
            pass
        assert list(tmp_path.iterdir()) == []
    once = clock.times.reference
    assert once.units >= 8
    assert once.processor > 0
    assert clock.times.processor < once.processor


def test_the_reference_work_is_as_long_as_the_discard(tmp_path: Path) -> None:
    with ReferenceWork(tmp_path) as reference:
        short, long = reference.run(0.0), reference.run(0.3)
    assert short.units == 4
    assert long.units > short.units


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), ReferenceWork(tmp_path / "nowhere"):
        pass
