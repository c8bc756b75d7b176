"""The engine and the emulated device-mapper give the answers that kernels were recorded to give.

The engine runs all recordings; each takes a second at most. A few recordings also run through dmsetup and
loop devices.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.conformance.answers.answer import Recording
from thinsim.conformance.answers.recordings import read_recordings, recorded_files, write_recordings
from thinsim.conformance.answers.verdict import judge_recordings
from thinsim.conformance.histories.campaign import campaign
from thinsim.conformance.requests.programs import PROGRAMS
from thinsim.conformance.subjects.engine import EnginePlayer

RECORDINGS = {
    f"{path.name.removesuffix('.jsonl.xz')}-{recording.history.name}": recording
    for path in recorded_files()
    for recording in read_recordings(path)
}


@pytest.mark.parametrize("name", [name for name, each in RECORDINGS.items() if not each.history.needs_nodes])
async def test_the_engine_answers_as_the_kernel_did(name: str, tmp_path: Path) -> None:
    expected = RECORDINGS[name]
    found = await EnginePlayer(tmp_path).record(expected.history)
    verdict = judge_recordings(expected.source, "engine", [(expected, found)])
    assert verdict.unexplained == []
    assert verdict.compared.total() > len(expected.answers)


def test_every_recording_is_of_a_history_in_the_present_campaign() -> None:
    histories = {history.name: history for history in campaign()}
    for recording in RECORDINGS.values():
        assert histories[recording.history.name] == recording.history


def check(*words: str) -> subprocess.CompletedProcess[str]:
    return conformance("check", *words)


def conformance(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thinsim", "conformance", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.rig
def test_the_emulated_device_mapper_answers_through_dmsetup_as_the_kernel_did() -> None:
    histories = ("random-4", "external-origin", "requests-mapped-512", "requests-above-an-origin-4096")
    only = [word for name in histories for word in ("--only", name)]
    done = check(str(recorded_files()[0]), "--on", "emulated", *only, "--json")
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert verdict["operations"] > 150
    assert verdict["compared"]["command"] > 20
    assert verdict["compared"]["request"] > 200


@pytest.mark.rig
def test_programs_that_discard_and_zero_find_their_data_as_on_the_kernel_s() -> None:
    """Run ext4's extent zero-out and lazy initialisation, fstrim, fallocate, blkdiscard, qemu-img and fio."""
    done = check(str(recorded_files()[0]), "--on", "emulated", "--only", "requests-programs-512", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)
    assert verdict["compared"]["program"] == len(PROGRAMS)


def test_a_recording_that_differs_is_shown_and_ends_with_status_6(tmp_path: Path) -> None:
    recording = next(iter(RECORDINGS.values()))
    spoiled = spoil(recording)
    write_recordings(tmp_path / "spoiled.jsonl", [spoiled])
    done = check(str(tmp_path / "spoiled.jsonl"))
    assert done.returncode == 6, done.stderr
    assert f"{recording.history.name}, operation 0: Dmsetup" in done.stdout
    assert "1 not equal, 1 of these unexplained" in done.stdout


def spoil(recording: Recording) -> Recording:
    """Return *recording* with a failed first operation."""
    first, *rest = recording.answers
    failed = dataclasses.replace(first, status=1)
    return dataclasses.replace(recording, answers=(failed, *rest))


def test_an_unknown_history_is_named() -> None:
    done = check("--only", "frobnicate")
    assert done.returncode == 1
    assert "history 'frobnicate' does not exist; there are: " in done.stderr


def test_no_kernel_is_asked_where_no_answer_is_missing(tmp_path: Path) -> None:
    recording = next(iter(RECORDINGS.values()))
    path = tmp_path / "answers.jsonl"
    write_recordings(path, [recording])
    done = conformance("record", "--missing", "--only", recording.history.name, "--to", str(path))
    assert (done.returncode, done.stderr) == (0, f"{path}: no history is missing\n")
    assert read_recordings(path) == [recording]
