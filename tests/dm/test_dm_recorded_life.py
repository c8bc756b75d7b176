"""A pool's life gives the answers that were recorded on Linux 6.1 (`make record-pool-life`).

Modes, events, reloads, growth, held writes, full metadata, devices that fail, lost transactions, external
origins, names. GROWN_TWICE has the differences.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.dm.pool_life import EmulatedLife, LifeStep, recorded

SECTIONS = recorded()

GROWN_TWICE = {
    "a read-only pool on devices that grew": ("/128", "/96"),
    "a read-only pool whose data device grew": ("/96", "/80"),
}
"""The data blocks that Linux 6.1 reports, and the device's real ones, which thinsim reports.

If a data device grows while its pool is read-only, Linux adds the growth, can't commit it, and adds it again
when the pool becomes writable.
"""


def with_blocks_that_are(section: str, step: LifeStep) -> LifeStep:
    kernel, ours = GROWN_TWICE.get(section, ("", ""))
    lines = {name: step[name].split(" ") for name in ("pool", "text") if "thin-pool" in step.get(name, "")}
    for words in lines.values():
        if words[5:6] and words[5].endswith(kernel):
            words[5] = words[5].removesuffix(kernel) + ours
    return {**step, **{name: " ".join(words) for name, words in lines.items()}}


def comparable(answer: LifeStep, act: str) -> LifeStep:
    """Leave out the parts that differ between two runs of the kernel: the held root, uncommitted metadata."""
    found: LifeStep = {name: answer[name] for name in ("error", "events") if name in answer}
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
def named(step: LifeStep) -> Iterator[None]:
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
        life = EmulatedLife(nursery, tmp_path)
        async with life.dm.running():
            for step in SECTIONS[section]:
                if "unanswered" in step:
                    break
                answer: dict[str, Any] = await life.answer(step)
                expected = comparable(with_blocks_that_are(section, step), step["act"])
                with named(step):
                    found = comparable(answer, step["act"])
                    assert {name: found.get(name) for name in expected} == expected
        nursery.cancel_scope.cancel()
