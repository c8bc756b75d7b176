"""``tools/record_pool_life.py`` records missing sections in their places, and the answers before a hang."""

import importlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.dm.pool_life import RECORDING, recorded
from tests.repository import REPOSITORY

TOOLS = REPOSITORY / "tools"
SECTIONS: dict[str, list[dict[str, Any]]] = {
    "one": [{"act": "message", "name": "pool", "text": "create_thin 1"}, {"act": "status", "name": "pool"}],
    "two": [{"act": "remove", "name": "pool"}],
    "three": [{"act": "remove", "name": "t1"}],
}


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("pool_life_recording")


@pytest.fixture
def recorder(recording: ModuleType) -> ModuleType:
    return importlib.import_module("record_pool_life")


def answered(section: str, **answer: Any) -> list[dict[str, Any]]:
    answer = {"error": None, "at": 1.5, "pool": "0 8192 thin-pool Fail", "events": 3, **answer}
    return [
        {"section": section, **step, **answer, **({"text": "x"} if step["act"] == "status" else {})}
        for step in SECTIONS[section]
    ]


def test_a_missing_section_is_recorded(recording: ModuleType) -> None:
    assert recording.to_record(SECTIONS, {}) == ["one", "two", "three"]
    assert recording.to_record(SECTIONS, {"one": answered("one"), "three": answered("three")}) == ["two"]


def test_a_section_whose_steps_have_changed_is_recorded_again(recording: ModuleType) -> None:
    fewer = answered("one")[:1]
    other = answered("one")
    other[0]["text"] = "create_thin 2"
    for old in (fewer, other):
        assert recording.to_record({"one": SECTIONS["one"]}, {"one": old}) == ["one"]


def test_a_section_that_was_not_answered_is_recorded_again_only_by_its_name(recording: ModuleType) -> None:
    old = {"one": [{"section": "one", **SECTIONS["one"][0], "unanswered": "not within 900 s"}]}
    assert recording.to_record({"one": SECTIONS["one"]}, old) == []
    assert recording.to_record(SECTIONS, old, "^one$") == ["one"]


def test_a_pattern_chooses_sections_and_must_choose_one(recording: ModuleType) -> None:
    assert recording.to_record(SECTIONS, {"two": answered("two")}, "^t|nothing") == ["two", "three"]
    with pytest.raises(LookupError, match="no section is named like 'four'"):
        recording.to_record(SECTIONS, {}, "four")


def test_a_section_is_inserted_in_its_place_and_replaces_the_old_one(
    recording: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "recorded.jsonl"
    for section in ("three", "one", "two"):
        recording.take_in(path, section, answered(section), SECTIONS)
    recording.take_in(path, "one", answered("one", events=7), SECTIONS)
    expected = {"one": answered("one", events=7), "two": answered("two"), "three": answered("three")}
    assert list(recording.read(path).items()) == list(expected.items())
    recording.take_in(path, "two", answered("two"), ["one", "two"])
    assert list(recording.read(path)) == ["one", "two"]
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_the_recorded_sections_are_those_of_the_tools_in_their_order(
    recorder: ModuleType, recording: ModuleType
) -> None:
    assert recording.to_record(recorder.SECTIONS, recorded()) == []
    assert list(recorded()) == list(recorder.SECTIONS)
    assert RECORDING.read_text() == "".join(
        f"{json.dumps(step)}\n" for steps in recorded().values() for step in steps
    )


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a dmsetup that never ends once it has to send a message, and a losetup."""
    programs = tmp_path / "bin"
    programs.mkdir()
    pid = tmp_path / "pid"
    hangs = f"case $1 in status) exit 1;; message) echo $$ > {pid}; exec sleep 600;; esac"
    scripts = {"dmsetup": hangs, "losetup": ":"}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    yield pid
    with suppress(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_section_that_hangs_keeps_its_answers_and_is_reported(
    recorder: ModuleType,
    recording: ModuleType,
    hanging: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    section = "a snapshot that is lost"

    class Impatient(subprocess.Popen[bytes]):
        """An `Impatient` process times out as soon as the step hangs."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout != recorder.LIMIT:
                return super().wait(timeout)
            while not (hanging.exists() and hanging.read_text()):
                assert self.poll() is None
                time.sleep(0.01)
            raise subprocess.TimeoutExpired(self.args, recorder.LIMIT)

    monkeypatch.setattr(subprocess, "Popen", Impatient)
    with pytest.raises(SystemExit, match="record what is left in another guest"):
        recorder.main(tmp_path, tmp_path, f"^{section}$")
    steps = recording.read(recording.file_of_this_kernel(tmp_path))[section]
    assert [recording.asked(step) for step in steps] == recorder.SECTIONS[section][: len(steps)]
    assert [step.get("unanswered") for step in steps] == [None, "not within 900 s"]
    assert steps[1]["act"] == "message"
    assert section in capsys.readouterr().out
