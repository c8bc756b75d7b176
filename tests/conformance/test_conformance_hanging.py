"""No history waits forever: thinsim skips operations that would, and gives up on a kernel that hangs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from thinsim.conformance.answers.answer import HELD
from thinsim.conformance.histories.history import (
    Discard,
    Dmsetup,
    Flush,
    Grow,
    HistoryOperation,
    Look,
    Write,
    history_to_json,
)
from thinsim.conformance.histories.random_histories import random_history
from thinsim.conformance.histories.suspended import Suspended
from thinsim.conformance.subjects.engine import EnginePlayer
from thinsim.conformance.subjects.subject import HUNG

LINES = {
    "disk": "0 8192 linear ",
    "pool": "0 8192 thin-pool 0 111/1024 0/64 - rw discard_passdown queue_if_no_space - 256 ",
    "t1": "0 8192 thin 0 -",
}
MESSAGE = Dmsetup(("message", "{pool}", "0", "create_thin 2"))


@pytest.mark.parametrize("name", LINES)
def test_no_request_is_sent_while_anything_is_suspended(name: str) -> None:
    suspended = Suspended()
    suspended.note(("suspend", f"{{{name}}}"), LINES)
    for request in (Write("t1", 0, 512, 1), Discard("t1", 0, 512), Flush("t1")):
        assert suspended.holds(request)
    assert not suspended.holds(Look())
    assert not suspended.holds(Grow("data", 8192))
    suspended.note(("resume", f"{{{name}}}"), LINES)
    assert not suspended
    assert not suspended.holds(Flush("t1"))


@pytest.mark.parametrize(
    ("operation", "held"),
    [
        (MESSAGE, True),
        (Dmsetup(("suspend", "{pool}")), True),
        (Dmsetup(("remove", "{t1}")), True),
        (Dmsetup(("info", "-c", "{pool}")), False),
        (Dmsetup(("load", "{disk}", "--table", "0 8192 error")), False),
        (Dmsetup(("resume", "{disk}")), False),
    ],
)
def test_a_pool_is_left_alone_while_a_device_below_it_is_suspended(
    operation: HistoryOperation, held: bool
) -> None:
    suspended = Suspended()
    suspended.note(("suspend", "{disk}"), LINES)
    assert suspended.holds(operation) is held
    assert not suspended.pools_may_commit


@pytest.mark.parametrize("name", ["pool", "t1"])
def test_a_suspended_pool_or_thin_device_answers(name: str) -> None:
    suspended = Suspended()
    suspended.note(("suspend", f"{{{name}}}"), LINES)
    assert not suspended.holds(MESSAGE)
    assert suspended.pools_may_commit


def test_devices_below_are_resumed_first() -> None:
    suspended = Suspended()
    lines = {**LINES, "a-thin": LINES["t1"]}
    for name in ("a-thin", "pool", "t1", "disk"):
        suspended.note(("suspend", f"{{{name}}}"), lines)
    assert suspended.below_first == ["disk", "pool", "a-thin", "t1"]


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_a_thin_device_waits_for_its_suspended_pool(verb: str) -> None:
    suspended = Suspended()
    suspended.note(("suspend", "{t1}"), LINES)
    assert not suspended.holds(Dmsetup((verb, "{t1}")))
    suspended.note(("suspend", "{pool}"), LINES)
    assert suspended.holds(Dmsetup((verb, "{t1}")))
    assert not suspended.holds(Dmsetup((verb, "{pool}")))
    assert not suspended.holds(Dmsetup(("remove", "{t1}")))


async def test_a_history_that_leaves_its_disk_suspended_comes_to_an_end(tmp_path: Path) -> None:
    create = "0 8192 thin-pool {metadata} /dev/mapper/{disk} 128 0"
    operations = (
        Dmsetup(("create", "{disk}", "--table", "0 8192 linear {data} 0")),
        Dmsetup(("create", "{pool}", "--table", create)),
        MESSAGE,
        Dmsetup(("suspend", "{disk}")),
        MESSAGE,
        Look(),
    )
    history = replace(random_history(1, 1), data_kib=4096, operations=operations)
    with trio.fail_after(60):
        answers = (await EnginePlayer(tmp_path).record(history)).answers
    assert [answer.status for answer in answers] == [0, 0, 0, 0, HELD, 0]
    assert answers[4].devices == answers[2].devices


HANGS = """
import sys, threading
from pathlib import Path
import trio
from thinsim.conformance.subjects.answering import answer

class Hangs:
    step, step_begun = "", 0.0

    def record(self, history):
        self.step = "operation 3, Flush"
        threading.Event().wait()

trio.run(answer, Path(sys.argv[1]), Hangs(), 0.5)
"""


def test_a_step_that_does_not_end_is_named_and_ends_the_process(tmp_path: Path) -> None:
    request = tmp_path / "000001.history"
    request.write_text(json.dumps(history_to_json(random_history(1, 5))))
    done = subprocess.run([sys.executable, "-c", HANGS, str(request)], timeout=60, check=False)
    assert done.returncode == 1
    hung = json.loads((tmp_path / "000001.answer").read_text())[HUNG]
    assert hung.startswith("operation 3, Flush has not ended within 0.5 s")
