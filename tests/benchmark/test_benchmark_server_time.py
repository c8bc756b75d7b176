"""A rate is corrected by the processor time of the server, or of its own code alone."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.server_time import ProcessorTimes, ServerPart, rate_without


def test_the_time_of_a_server_and_of_idle_processors_is_spare() -> None:
    processors = os.cpu_count() or 1
    before = ProcessorTimes(0, 100, 1, 5)
    after = ProcessorTimes(
        at=10, idle=100 + processors, server_code=1 + processors, server=5 + 4 * processors
    )
    assert before.spare(after, ServerPart.CODE) == pytest.approx(0.2)
    assert before.spare(after, ServerPart.ALL) == pytest.approx(0.5)


def test_a_rate_without_servers_is_the_measured_one() -> None:
    assert rate_without(ServerPart.ALL, (), 0.1, lambda seconds: seconds * 10) == pytest.approx(1)


def test_a_busy_server_leaves_more_time_than_its_code_alone() -> None:
    # It computes half of the time, and is in the kernel during the other half.

    def slept(seconds: float) -> float:
        time.sleep(seconds)
        return 100

    program = "import os\nwhile True:\n    sum(range(10000)); [os.stat('/') for _ in range(300)]"
    with subprocess.Popen([sys.executable, "-c", program]) as server:
        before = ProcessorTimes.of([server.pid])
        time.sleep(0.5)
        after = ProcessorTimes.of([server.pid])
        rates = [rate_without(part, [server.pid], 0.2, slept) for part in ServerPart]
        server.kill()
    assert after.server > before.server
    assert after.server - before.server > after.server_code - before.server_code > 0
    assert all(each > 100 for each in rates)
