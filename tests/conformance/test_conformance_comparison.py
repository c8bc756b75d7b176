"""A comparison names each difference, and shrinking leaves the shortest history that shows it."""

import dataclasses
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.conformance.answers.answer import Answer, Recording
from thinsim.conformance.answers.compare import Behaviour, compare_recordings, errno_of
from thinsim.conformance.answers.fidelity import FidelityRun, fidelity_page
from thinsim.conformance.answers.recordings import read_recordings, write_recordings
from thinsim.conformance.answers.verdict import HistoryVerdict, judge_recordings
from thinsim.conformance.duel import Duel
from thinsim.conformance.histories.history import Discard, Dmsetup, History, Look, Write
from thinsim.conformance.histories.random_histories import random_history
from thinsim.conformance.histories.shrink import shortest
from thinsim.conformance.subjects.engine import EnginePlayer
from thinsim.errors import InvalidValueError

POOL = "0 131072 thin-pool 0 214/2048 3/1024 - rw discard_passdown queue_if_no_space - 512 "
HISTORY = History(
    "one",
    65536,
    8192,
    (Dmsetup(("message", "{pool}", "0", "create_thin 1")), Write("t1", 0, 512, 1), Discard("t1", 0, 512)),
    ("directed",),
)


def recording(pool: str = POOL, thin: str = "0 16384 thin 384 383", **of_first: object) -> Recording:
    devices = {"pool": pool, "t1": thin}
    first = replace(Answer(0, "", devices, (1, 65536)), **of_first)  # type: ignore[arg-type]
    return Recording(HISTORY, "Linux", (first, Answer(0), Answer(0)), None)


def differing(other: Recording) -> set[Behaviour]:
    return {each.behaviour for each in compare_recordings(recording(), other) if not each.equal}


@pytest.mark.parametrize(
    ("line", "behaviour"),
    [
        (POOL.replace("thin-pool 0", "thin-pool 1"), Behaviour.TRANSACTION),
        (POOL.replace("214/", "215/"), Behaviour.USED_METADATA),
        (POOL.replace("3/1024", "4/1024"), Behaviour.USED_DATA),
        (POOL.replace(" - rw", " 32 rw"), Behaviour.HELD),
        (POOL.replace(" rw ", " ro "), Behaviour.MODE),
        ("0 131072 thin-pool Fail", Behaviour.MODE),
        (POOL.replace("queue_if", "error_if"), Behaviour.POOL_WORDS),
        (POOL.replace(" - 512", " needs_check 512"), Behaviour.POOL_WORDS),
    ],
)
def test_each_field_of_a_pool_s_status_is_a_behaviour(line: str, behaviour: Behaviour) -> None:
    assert differing(recording(pool=line)) == {behaviour}


def test_the_number_of_a_held_root_is_not_compared() -> None:
    one, other = (recording(pool=POOL.replace(" - rw", f" {number} rw")) for number in (32, 99))
    assert all(each.equal for each in compare_recordings(one, other))


def test_answers_texts_devices_and_discards_are_compared() -> None:
    assert differing(recording()) == set()
    assert differing(recording(status=1)) == {Behaviour.MESSAGE}
    assert differing(recording(text="what")) == {Behaviour.MESSAGE}
    assert differing(recording(discards=(2, 65536))) == {Behaviour.PASSED_DOWN}
    assert differing(recording(discards=None)) == set()
    assert differing(recording(thin="0 16384 thin 384 511")) == {Behaviour.MAPPED}
    assert differing(recording(devices={"pool": POOL})) == {Behaviour.OTHER}


def test_an_errno_equals_the_words_of_dmsetup_for_it() -> None:
    refused = "device-mapper: message ioctl on pool  failed: File exists\nCommand failed.\n"
    assert errno_of(refused) == "errno 17"
    words, number = recording(status=1, text=refused), recording(status=1, text="errno 17")
    assert all(each.equal for each in compare_recordings(words, number))
    other = recording(status=1, text="errno 61")
    assert [each.behaviour for each in compare_recordings(words, other) if not each.equal] == [
        Behaviour.MESSAGE
    ]


@given(st.sets(st.integers(0, 60), min_size=1, max_size=5), st.integers(61, 90))
async def test_shrinking_keeps_what_matters_alone_and_in_order(wanted: set[int], count: int) -> None:
    tried = 0

    async def still(items: tuple[int, ...]) -> bool:
        nonlocal tried
        tried += 1
        return wanted <= set(items)

    assert await shortest(range(count), still) == tuple(sorted(wanted))
    assert tried < 60 * len(wanted)


class Wrong:
    """A `Wrong` engine counts one data block too many as soon as two devices are active."""

    def __init__(self, directory: Path) -> None:
        self._engine = EnginePlayer(directory)

    async def record(self, history: History) -> Recording:
        found = await self._engine.record(history)
        answers = tuple(self._spoiled(answer) for answer in found.answers)
        return replace(found, answers=answers)

    def _spoiled(self, answer: Answer) -> Answer:
        if len(answer.devices) < 3:
            return answer
        words = answer.devices["pool"].split(" ")
        used, _, total = words[5].partition("/")
        line = " ".join((*words[:5], f"{int(used) + 1}/{total}", *words[6:]))
        return dataclasses.replace(answer, devices={**answer.devices, "pool": line})


async def test_a_difference_is_shrunk_to_the_operations_that_cause_it(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    duel = Duel(EnginePlayer(tmp_path / "right"), Wrong(tmp_path / "wrong"), HistoryVerdict("", "engine"))
    history = random_history(1, 60)
    news = await duel.fight(history)
    assert {each.comparison.behaviour for each in news} == {Behaviour.USED_DATA}
    lines: list[str] = []
    shrunk = await duel.shrink(history, news[0], lines.append)
    # The difference needs only a pool and two active thin devices.
    assert [operation.words[0] for operation in shrunk.operations if isinstance(operation, Dmsetup)] == [
        "create",
        "message",
        "create",
        "message",
        "create",
    ] or len(shrunk.operations) == 5
    assert lines


def test_recordings_are_read_as_they_were_written(tmp_path: Path) -> None:
    for name in ("one.jsonl", "one.jsonl.xz"):
        write_recordings(tmp_path / name, [recording(), recording(status=1)])
        assert read_recordings(tmp_path / name) == [recording(), recording(status=1)]
    (tmp_path / "bad.jsonl.xz").write_bytes(b"nothing")
    with pytest.raises(InvalidValueError, match=r"bad\.jsonl\.xz"):
        read_recordings(tmp_path / "bad.jsonl.xz")


def test_the_page_counts_comparisons_and_marks_the_unexplained() -> None:
    good = judge_recordings("Linux 6.1", "engine", [(recording(), recording())])
    bad = judge_recordings("Linux 6.1", "emulated", [(recording(), recording(discards=(2, 0)))])
    page = fidelity_page(FidelityRun("2026-11-29", "Linux 6.18", [good, bad]), "kept by hand")
    assert "| A | Linux 6.1 | engine | 1 | 3 | " in page
    assert f"| {Behaviour.PASSED_DOWN} | 1 | **1** of 1 |" in page
    assert f"| {Behaviour.USED_DATA} | 1 | 1 |" in page
    assert "| **unexplained** | B: 1 | discards at the data loop device (1) |" in page
    assert page.endswith("kept by hand\n")


def answered(history: History, *answers: Answer) -> Recording:
    silent = (Answer(0),) * (len(history.operations) - len(answers))
    return Recording(history, "Linux", (*silent, *answers), None)


def whys(subject: str, expected: Recording, found: Recording) -> list[str]:
    return [
        each.why.partition(".")[0]
        for each in judge_recordings("Linux", subject, [(expected, found)]).differences
    ]


def test_before_linux_6_9_a_node_that_ignores_discards_takes_them_unlike_the_kernel_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "release", lambda: "6.8.0-31-generic")
    ignoring = replace(HISTORY, traits=("features: ignore_discard",))
    refused, taken = Answer(95), Answer(0)
    assert whys("emulated", answered(ignoring, refused), answered(ignoring, taken)) == [
        "With `ignore_discard` the kernel's thin device refuses a discard with EOPNOTSUPP"
    ]
    for subject, history, found in (
        ("engine", ignoring, taken),
        ("emulated", HISTORY, taken),
        ("emulated", ignoring, Answer(5)),
    ):
        assert whys(subject, answered(history, refused), answered(history, found)) == [""]
    monkeypatch.setattr(platform, "release", lambda: "6.9.1")
    assert whys("emulated", answered(ignoring, refused), answered(ignoring, taken)) == [""]


def test_a_path_that_is_missing_has_another_errno_in_later_kernels() -> None:
    load = Dmsetup(("load", "{pool}", "--table", "0 8192 thin-pool /dev/nothing {data} 128 0"))
    history = replace(HISTORY, operations=(load,))
    missing, no_device, invalid = (Answer(1, f"errno {number}") for number in (2, 19, 22))
    assert whys("engine", answered(history, missing), answered(history, no_device)) == [
        "A table names a path that does not exist"
    ]
    for expected, found in ((no_device, missing), (missing, invalid), (invalid, no_device)):
        assert whys("engine", answered(history, expected), answered(history, found)) == [""]


WAITING = replace(
    HISTORY,
    operations=(Write("t1", 0, 512, 1), Discard("t1", 0, 512), Look()),
)


def test_what_waits_behind_a_held_write_is_not_explained_nor_is_what_follows() -> None:
    """The node of a device serves many requests at once, as the kernel's thin device does."""
    full, freed = {"pool": POOL}, {"pool": POOL.replace("3/1024", "2/1024")}
    kernel = Recording(
        WAITING, "Linux", (Answer(-2, "", full), Answer(0, "", freed), Answer(0, "", freed)), None
    )
    node = Recording(WAITING, "node", (Answer(-2, "", full), Answer(-2, "", full), Answer(0, "", full)), None)
    assert whys("emulated", kernel, node) == [""] * 3
    assert whys("engine", kernel, node) == [""] * 3


def test_what_waits_without_a_held_write_is_not_explained() -> None:
    kernel, node = (answered(WAITING, Answer(status), Answer(0)) for status in (0, -2))
    assert whys("emulated", kernel, node) == [""]
