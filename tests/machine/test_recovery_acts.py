"""Recovery of an abandoned run releases each kind of resource, and leaves lookalikes alone."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.machine.recovered_run import recover_run
from thinsim.block import loop
from thinsim.dm.names import MAPPER
from thinsim.machine import recovery
from thinsim.machine.journal import Journal, TakenKind, read_journal
from thinsim.machine.recovery import recover
from thinsim.machine.servers import JOURNAL_VARIABLE
from thinsim.machine.state import ProcessIdentity


@pytest.fixture
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[loop.LoopDevice]:
    (tmp_path / "backing").write_bytes(bytes(1 << 20))
    device = loop.attach(tmp_path / "backing")
    yield device
    loop.detach(device)


def record_process(journal: Journal, pid: int, *, started_earlier: int = 0) -> None:
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    entry = journal.begin(TakenKind.PROCESS, role="server")
    journal.amend(entry, pid=pid, started=identity.started - started_earlier)


def test_nothing_taken_leaves_no_journal(journal: Journal) -> None:
    assert recover_run(journal) == ([], [])
    assert not journal.path.exists()


def test_recovering_a_run_that_another_process_has_recovered_does_nothing(journal: Journal) -> None:
    content = read_journal(journal.path)
    journal.close()
    assert recover(content, pytest.fail) == []


def test_a_process_is_ended(journal: Journal, sleeper: "subprocess.Popen[bytes]") -> None:
    record_process(journal, sleeper.pid)
    problems, acts = recover_run(journal)
    assert problems == []
    assert acts == [f"ending server (pid {sleeper.pid}, SIGTERM)"]
    assert sleeper.wait(10) == -signal.SIGTERM


def test_a_stopped_process_is_ended_gently(journal: Journal, sleeper: "subprocess.Popen[bytes]") -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)
    record_process(journal, sleeper.pid)
    assert recover_run(journal)[0] == []
    assert sleeper.wait(10) == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "TERM_SECONDS", 0.2)
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        record_process(journal, process.pid)
        assert recover_run(journal)[0] == []
        assert process.wait(10) == -signal.SIGKILL


def test_a_later_process_with_the_pid_lives_on(journal: Journal, sleeper: "subprocess.Popen[bytes]") -> None:
    record_process(journal, sleeper.pid, started_earlier=1)
    assert recover_run(journal) == ([], [])
    assert sleeper.poll() is None


def test_a_command_of_the_run_that_is_not_on_record_is_ended(journal: Journal) -> None:
    environment = {**os.environ, JOURNAL_VARIABLE: str(journal.path)}
    with subprocess.Popen(["sleep", "600"], env=environment) as process:
        problems, acts = recover_run(journal)
        assert problems == []
        assert acts == [f"ending sleep (pid {process.pid}, SIGTERM)"]
        assert process.wait(10) == -signal.SIGTERM


def test_a_command_of_another_run_lives_on(journal: Journal) -> None:
    environment = {**os.environ, JOURNAL_VARIABLE: f"{journal.path}x"}
    with subprocess.Popen(["sleep", "600"], env=environment) as process:
        assert recover_run(journal) == ([], [])
        assert process.poll() is None
        process.kill()


def test_a_directory_goes_with_all_below_it(journal: Journal, tmp_path: Path) -> None:
    directory = tmp_path / "taken"
    (directory / "below").mkdir(parents=True)
    (directory / "below/file").write_text("x")
    journal.begin(TakenKind.DIRECTORY, path=directory)
    assert recover_run(journal)[0] == []
    assert not directory.exists()


def test_a_directory_that_was_never_made_is_no_problem(journal: Journal, tmp_path: Path) -> None:
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "never")
    assert recover_run(journal) == ([], [])


def test_a_symlink_in_the_place_of_a_directory_is_left_alone(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/file").write_text("x")
    (tmp_path / "taken").symlink_to(tmp_path / "foreign")
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "taken")
    assert recover_run(journal)[0] == []
    assert (tmp_path / "foreign/file").exists()


def test_a_directory_that_was_kept_on_purpose_stays(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    journal.begin(TakenKind.KEPT, path=tmp_path / "kept")
    assert recover_run(journal) == ([], [])
    assert (tmp_path / "kept").is_dir()


def test_after_a_reboot_only_files_are_taken_away(
    journal: Journal, tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    (tmp_path / "taken").mkdir()
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "taken")
    record_process(journal, sleeper.pid)
    first, _, rest = journal.path.read_text().partition("\n")
    journal.path.write_text(json.dumps({**json.loads(first), "boot": "another"}) + "\n" + rest)
    assert recover_run(journal)[0] == []
    assert sleeper.poll() is None
    assert not (tmp_path / "taken").exists()


def test_a_report_that_cannot_be_written_stops_nothing(journal: Journal, tmp_path: Path) -> None:
    def hung_up(text: str) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "taken").mkdir()
    journal.begin(TakenKind.DIRECTORY, path=tmp_path / "taken")
    assert recover(read_journal(journal.path), hung_up) == []
    assert not (tmp_path / "taken").exists()


def test_a_server_that_keeps_a_step_waiting_is_killed(
    journal: Journal, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "SERVER_SECONDS", 0.2)
    # A device above the server answers once the server has answered or is dead.
    monkeypatch.setitem(recovery.UNDO, TakenKind.LOOP, lambda *_: sleeper.wait(30))
    record_process(journal, sleeper.pid)
    journal.begin(TakenKind.LOOP, file="/nowhere")
    assert recover_run(journal)[0] == []
    assert sleeper.returncode == -signal.SIGKILL


def test_resources_that_a_server_takes_while_it_ends_are_released(
    journal: Journal, tmp_path: Path, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    end_process = recovery.UNDO[TakenKind.PROCESS]

    def takes_more(fields: dict[str, Any], report: recovery.Notice) -> None:
        journal.begin(TakenKind.DIRECTORY, path=tmp_path / "late")
        (tmp_path / "late").mkdir()
        end_process(fields, report)

    monkeypatch.setitem(recovery.UNDO, TakenKind.PROCESS, takes_more)
    record_process(journal, sleeper.pid)
    assert recover_run(journal)[0] == []
    assert not (tmp_path / "late").exists()
    assert not journal.path.exists()


@pytest.mark.rig
def test_a_loop_device_is_detached(journal: Journal, attached: loop.LoopDevice, tmp_path: Path) -> None:
    entry = journal.begin(TakenKind.LOOP, file=tmp_path / "backing")
    journal.amend(entry, **asdict(attached))
    assert recover_run(journal) == ([], [f"detaching {attached.path}"])
    assert not loop.is_attached(attached)


@pytest.mark.rig
def test_a_loop_device_whose_number_was_not_yet_on_record_is_found(
    journal: Journal, attached: loop.LoopDevice, tmp_path: Path
) -> None:
    journal.begin(TakenKind.LOOP, file=tmp_path / "backing")
    assert recover_run(journal)[0] == []
    assert not loop.is_attached(attached)


@pytest.mark.rig
@pytest.mark.parametrize("earlier", [{"sequence": -1}, {"sequence": 0, "inode": 1}, {"sequence": 0}])
def test_another_attachment_with_the_number_is_left_alone(
    journal: Journal, attached: loop.LoopDevice, tmp_path: Path, earlier: dict[str, int]
) -> None:
    entry = journal.begin(TakenKind.LOOP, file=tmp_path / "elsewhere")
    journal.amend(entry, **{**asdict(attached), **earlier})
    assert recover_run(journal) == ([], [])
    assert loop.is_attached(attached)


@pytest.mark.rig
def test_a_loop_device_that_is_held_open_is_a_problem_until_it_is_closed(
    journal: Journal, attached: loop.LoopDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LOOP_SECONDS", 0.1)
    entry = journal.begin(TakenKind.LOOP, file=tmp_path / "backing")
    journal.amend(entry, **asdict(attached))
    fd = os.open(attached.path, os.O_RDONLY)
    (problem,) = recover_run(journal)[0]
    assert "is in use" in problem
    assert journal.path.exists()
    os.close(fd)
    assert recover_run(journal)[0] == []
    assert not journal.path.exists()


@pytest.mark.rig
def test_only_the_link_with_our_target_is_removed(journal: Journal) -> None:
    MAPPER.mkdir(exist_ok=True)
    links = [MAPPER / f"thinsim-test-{secrets.token_hex(4)}" for _ in range(3)]
    links[0].symlink_to("/dev/loop9999")
    links[1].symlink_to("/dev/loop9998")
    links[2].write_text("no link at all")
    try:
        for link in links:
            journal.begin(TakenKind.LINK, path=link, points_to="/dev/loop9999")
        assert recover_run(journal)[0] == []
        assert [os.path.lexists(link) for link in links] == [False, True, True]
    finally:
        for link in links:
            link.unlink(missing_ok=True)
