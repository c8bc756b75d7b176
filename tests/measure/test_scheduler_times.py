"""The scheduler's counters separate the time on a processor from the time of waiting for one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinsim.measure.scheduler_times import SchedulerReading, SchedulerTimes, scheduler_times


@contextmanager
def counted() -> Iterator[list[SchedulerTimes]]:
    """Yield a list that has the times of the context once it has ended."""
    found: list[SchedulerTimes] = []
    before = scheduler_times()
    assert before is not None
    yield found
    after = scheduler_times()
    assert after is not None
    found.append(after.since(before))


def spin(seconds: float) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


def test_work_is_time_on_a_processor_and_a_sleep_is_none() -> None:
    with counted() as working:
        spin(0.1)
    with counted() as sleeping:
        time.sleep(0.1)
    assert working[0].processor >= 0.09
    assert sleeping[0].processor < 0.05


def test_waiting_beside_another_program_on_the_same_processor_is_counted_apart() -> None:
    usable = os.sched_getaffinity(0)
    processor = {min(usable)}
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(burner.pid, processor)
        os.sched_setaffinity(0, processor)
        with counted() as beside:
            spin(0.2)
    finally:
        os.sched_setaffinity(0, usable)
        burner.kill()
        burner.wait()
    # The burner is a descendant that runs as well, so it waits while this process has the processor.
    assert beside[0].delayed > 0.1
    assert beside[0].processor >= 0.19


def test_the_time_of_a_child_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            spent = Path(f"/proc/{child.pid}/schedstat")
            while int(spent.read_text().split()[0]) < 100_000_000:
                time.sleep(0.01)
            after = scheduler_times()
        finally:
            child.kill()
    assert after is not None
    assert after.since(SchedulerReading({})).processor >= 0.1


def test_work_shorter_than_a_tick_of_the_kernel_counts() -> None:
    for _ in range(50):
        before = scheduler_times()
        sum(range(1000))
        after = scheduler_times()
        assert before is not None
        assert after is not None
        assert after.since(before).processor > 0
