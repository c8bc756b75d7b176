"""A history is the same anywhere and complete in itself, and any part of one is a history."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.conformance.answers.answer import recording_from_json, recording_to_json
from thinsim.conformance.histories.campaign import KEPT, campaign, read_history, write_history
from thinsim.conformance.histories.history import (
    Discard,
    Dmsetup,
    Look,
    Write,
    history_from_json,
    history_to_json,
)
from thinsim.conformance.histories.random_histories import COMBINATIONS, random_history
from thinsim.conformance.subjects.engine import EnginePlayer
from thinsim.errors import InvalidValueError


def test_a_seed_gives_the_same_history_always() -> None:
    assert random_history(7, 60) == random_history(7, 60)
    assert random_history(7, 60) != random_history(8, 60)


def test_the_campaign_has_every_set_of_features_and_every_kind_of_operation() -> None:
    histories = campaign()
    assert len({history.name for history in histories}) == len(histories)
    traits = {trait for history in histories for trait in history.traits}
    for words in COMBINATIONS:
        assert f"features: {' '.join(words) or 'none'}" in traits
    assert sum(len(history.operations) for history in histories) >= 5000
    kinds = {type(operation) for history in histories for operation in history.operations}
    assert {kind.__name__ for kind in kinds} == {
        "Dmsetup",
        "Write",
        "Read",
        "Discard",
        "Flush",
        "BlockRequest",
        "QueueLimits",
        "Program",
        "Grow",
        "Look",
    }


@pytest.mark.parametrize("history", campaign(), ids=lambda history: history.name)
def test_a_history_survives_json(history: object) -> None:
    assert history_from_json(json.loads(json.dumps(history_to_json(history)))) == history  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", [["frobnicate"], ["write", "t1"], [], ["read", "t1", 0, 512, 7]])
def test_an_entry_that_is_not_an_operation_is_refused(entry: list[object]) -> None:
    document = {**history_to_json(random_history(1, 10)), "operations": [entry]}
    with pytest.raises(InvalidValueError, match="not an operation of a history"):
        history_from_json(document)


def test_a_kept_history_reads_as_it_was_written(tmp_path: Path) -> None:
    history = random_history(3, 20)
    write_history(tmp_path / "one.json", history)
    assert read_history(tmp_path / "one.json") == history
    (tmp_path / "two.json").write_text("{}")
    with pytest.raises(InvalidValueError, match=r"two\.json: not a history"):
        read_history(tmp_path / "two.json")
    assert sorted(KEPT.glob("*.json"))


async def test_any_part_of_a_history_is_a_history(tmp_path: Path) -> None:
    whole, choose = random_history(33, 120, faults=True), random.Random(1)
    for _ in range(3):
        kept = tuple(operation for operation in whole.operations if choose.random() < 0.4)
        recording = await EnginePlayer(tmp_path).record(replace(whole, operations=kept))
        assert len(recording.answers) == len(kept)
    assert list(tmp_path.iterdir()) == []


async def test_a_recording_survives_json(tmp_path: Path) -> None:
    recording = await EnginePlayer(tmp_path).record(random_history(2, 60))
    assert recording_from_json(json.loads(json.dumps(recording_to_json(recording)))) == recording
    looks = [answer.seen for answer in recording.answers if answer.seen is not None]
    assert looks[-1].contents
    assert looks[-1].host


async def test_a_player_reports_the_behaviour_of_a_pool(tmp_path: Path) -> None:
    operations = (
        Dmsetup(
            ("create", "{pool}", "--table", "0 8192 thin-pool {metadata} {data} 128 0 1 skip_block_zeroing")
        ),
        Dmsetup(("message", "{pool}", "0", "create_thin 1")),
        Dmsetup(("message", "{pool}", "0", "create_thin 1")),
        Dmsetup(("create", "{t1}", "--table", "0 1024 thin /dev/mapper/{pool} 1")),
        Write("t1", 0, 131072, 5),
        Look(),
        Discard("t1", 0, 65536),
        Write("t1", 1 << 20, 4096, 5),
        Write("nothing", 0, 4096, 5),
        Look(),
    )
    history = replace(random_history(1, 1), data_kib=4096, metadata_kib=4096, operations=operations)
    answers = (await EnginePlayer(tmp_path).record(history)).answers
    assert [answer.status for answer in answers] == [0, 0, 1, 0, 0, 0, 0, 28, 2, 0]
    assert answers[2].text == "errno 17"
    assert answers[4].devices["t1"] == "0 1024 thin 256 255"
    assert answers[6].devices["t1"] == "0 1024 thin 128 255"
    assert (answers[5].seen.host, answers[9].seen.host) == ("0-31", "16-31")  # type: ignore[union-attr]
