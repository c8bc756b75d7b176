"""The journal of a run lists the entries that have not ended, even after a crash damaged the file."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.journal import Journal, TakenKind, all_journals, read_journal
from thinsim.machine.state import ProcessIdentity


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_entries_that_have_not_ended_are_read_in_order() -> None:
    journal = Journal.create()
    entries = [journal.begin(TakenKind.DIRECTORY, path=Path(f"/{name}")) for name in "abc"]
    journal.end(entries[1])
    assert [taken.fields["path"] for taken in read_journal(journal.path).taken] == ["/a", "/c"]


def test_an_amendment_adds_to_its_entry() -> None:
    journal = Journal.create()
    entry = journal.begin(TakenKind.LOOP, file=Path("/f"))
    journal.amend(entry, path=Path("/dev/loop7"), device=1)
    (taken,) = read_journal(journal.path).taken
    assert taken.fields == {"file": "/f", "path": "/dev/loop7", "device": 1}


def test_a_torn_last_line_is_skipped() -> None:
    journal = Journal.create()
    journal.begin(TakenKind.DIRECTORY, path=Path("/a"))
    with journal.path.open("ab") as file:
        file.write(b'\n{"act": "begin", "id": "x", "kind": "dire')
    assert len(read_journal(journal.path).taken) == 1


def test_a_torn_line_does_not_spoil_the_next() -> None:
    journal = Journal.create()
    with journal.path.open("ab") as file:
        file.write(b'\n{"act": "begin", "id": "x", "kind": "dire')
    Journal.join(journal.path).begin(TakenKind.DIRECTORY, path=Path("/after"))
    assert [taken.fields["path"] for taken in read_journal(journal.path).taken] == ["/after"]


@pytest.mark.parametrize("content", [b"", b'{"act": "own", "pi'])
def test_an_owner_killed_at_the_first_line_has_taken_nothing(state: Path, content: bytes) -> None:
    (state / "runs").mkdir(parents=True)
    (state / "runs/4194304-0123abcd.jsonl").write_bytes(content)  # beyond the largest pid
    (journal,) = all_journals()
    assert journal.is_abandoned
    assert journal.taken == ()


def test_a_journal_whose_first_line_is_being_written_has_an_owner(state: Path) -> None:
    (state / "runs").mkdir(parents=True)
    (state / f"runs/{os.getpid()}-0123abcd.jsonl").write_bytes(b"")
    (journal,) = all_journals()
    assert not journal.is_abandoned


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b'{"act": "begin"}\n', b"\n\n", b"\xff\xfe\n"])
def test_a_foreign_file_is_no_journal(state: Path, content: bytes) -> None:
    (state / "runs").mkdir(parents=True)
    path = state / "runs/notes.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match="not a journal"):
        read_journal(path)
    assert all_journals() == []
    assert path.exists()


def _append(path: Path, first: int) -> None:
    journal = Journal.join(path)
    for number in range(first, first + 200):
        journal.begin(TakenKind.DIRECTORY, path=Path(f"/{number}" + "x" * 200))


def test_lines_of_two_processes_stay_apart() -> None:
    journal = Journal.create()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(journal.path, first)) for first in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    taken = read_journal(journal.path).taken
    assert len({entry.fields["path"] for entry in taken}) == 400


def test_a_journal_of_this_process_is_not_abandoned() -> None:
    assert not read_journal(Journal.create().path).is_abandoned


def test_a_journal_of_an_earlier_boot_is_abandoned() -> None:
    journal = Journal.create()
    own = json.loads(journal.path.read_text())
    journal.path.write_text(json.dumps({**own, "boot": "another"}))
    assert read_journal(journal.path).is_abandoned


def test_a_journal_of_an_earlier_process_with_this_pid_is_abandoned() -> None:
    journal = Journal.create()
    own = json.loads(journal.path.read_text())
    assert own["started"] == ProcessIdentity.own().started
    journal.path.write_text(json.dumps({**own, "started": own["started"] - 1}))
    assert read_journal(journal.path).is_abandoned


def test_journals_come_oldest_first() -> None:
    older, newer = Journal.create(), Journal.create()
    os.utime(newer.path, (2, 2))
    os.utime(older.path, (1, 1))
    assert [journal.path for journal in all_journals()] == [older.path, newer.path]


def test_a_state_directory_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(EnvironmentLacksError, match=rf"{tmp_path}/file.*THINSIM_STATE_DIR"):
        Journal.create()


def test_a_journal_that_is_deleted_cannot_be_held() -> None:
    journal = Journal.create()
    with journal.locked() as exists:
        assert exists
    journal.close()
    journal.close()
    with journal.locked() as exists:
        assert not exists
