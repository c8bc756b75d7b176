"""A pool's life against answers recorded on Linux 6.1 (`make record-pool-life`).

Modes, events, reloads, growth, held writes, full metadata, devices that fail, lost transactions, external
origins, names. Left out of the recording is what Linux got wrong, a data device that grew twice when its
read-only pool became writable, looks at the pool while it was about to change, and requests to devices that
aren't there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from pool_life import Life, Step, recorded
from trio.testing import MockClock

SECTIONS = recorded()


def comparable(answer: Step, act: str) -> Step:
    """Leave out what differs between two runs of the kernel: the held root's number, uncommitted metadata."""
    found: Step = {name: answer[name] for name in ("error", "events") if name in answer}
    if "pool" in answer:
        words = answer["pool"].split()
        if len(words) > 5:
            words[4] = words[4].partition("/")[2]
            words[6] = str(words[6] != "-")
        found["pool"] = words
    if "text" in answer and act != "message":
        words = answer["text"].split(" ")
        if act == "status" and words[2] == "thin-pool" and len(words) > 5:
            words[6] = str(words[6] != "-")
        found["text"] = words
    return found


@contextmanager
def named(step: Step) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        error.add_note(f"at {step}")
        raise


@pytest.mark.parametrize("section", SECTIONS)
async def test_a_recorded_life_gives_the_kernel_s_answers(
    section: str, tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path)
        async with life.dm.running():
            for step in SECTIONS[section]:
                answer: dict[str, Any] = await life.answer(step)
                expected = comparable(step, step["act"])
                with named(step):
                    found = comparable(answer, step["act"])
                    assert {name: found.get(name) for name in expected} == expected
        nursery.cancel_scope.cancel()
