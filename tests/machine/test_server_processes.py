"""A dead server's log is in the error, a server that hangs is killed, none outlives a cancelled start."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import trio

from thinsim.errors import ProgramFailedError
from thinsim.machine import servers
from thinsim.machine.journal import Journal, TakenKind, read_journal
from thinsim.machine.servers import Server, ending_bounded
from thinsim.machine.state import ProcessIdentity

_PROLOGUE = """
import json, os, signal, sys, time
def ready():
    fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
    os.write(fd, json.dumps({"pid": os.getpid()}).encode() + b"\\n")
"""


@pytest.fixture(autouse=True)
def servers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


async def start(journal: Journal, tmp_path: Path, body: str) -> Server:
    (tmp_path / "trial_server.py").write_text(_PROLOGUE + body)
    return await Server.start("trial server", "trial_server", [], tmp_path / "log", journal)


async def test_a_server_is_on_record_until_it_is_stopped(journal: Journal, tmp_path: Path) -> None:
    server = await start(journal, tmp_path, "ready(); time.sleep(600)")
    (taken,) = read_journal(journal.path).taken
    assert (taken.kind, taken.fields["role"], taken.fields["pid"]) == (
        TakenKind.PROCESS,
        "trial server",
        server.ready["pid"],
    )
    assert ProcessIdentity(taken.fields["pid"], taken.fields["started"]).is_running()
    await server.stop()
    await server.stop()
    assert read_journal(journal.path).taken == ()
    assert server.process.returncode == -signal.SIGTERM


async def test_the_error_for_a_server_that_dies_before_it_is_ready_shows_its_log(
    journal: Journal, tmp_path: Path
) -> None:
    with pytest.raises(
        ProgramFailedError, match=r"ended before it was ready \(exit status 1\); its log: no disk"
    ):
        await start(journal, tmp_path, "sys.exit('no disk')")
    assert read_journal(journal.path).taken == ()


async def test_a_server_that_dies_later_is_named_when_it_is_stopped(journal: Journal, tmp_path: Path) -> None:
    server = await start(journal, tmp_path, "ready(); print('last words', flush=True); time.sleep(600)")
    while not server.log.read_text():
        await trio.sleep(0.01)
    os.kill(server.process.pid, signal.SIGKILL)
    await server.process.wait()
    message = rf"the trial server \(pid {server.process.pid}\) ended unexpectedly \(SIGKILL\); .*last words"
    with pytest.raises(ProgramFailedError, match=message):
        await server.stop()
    assert read_journal(journal.path).taken == ()


async def test_a_server_that_ignores_sigterm_is_killed(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "GRACE_SECONDS", 0.2)
    server = await start(
        journal, tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); time.sleep(600)"
    )
    await server.stop()
    assert server.process.returncode == -signal.SIGKILL


async def test_a_stopped_server_is_ended_gently(journal: Journal, tmp_path: Path) -> None:
    server = await start(journal, tmp_path, "ready(); time.sleep(600)")
    os.kill(server.process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    await server.stop()
    assert time.monotonic() - begun < 10
    assert server.process.returncode == -signal.SIGTERM


async def test_a_start_that_is_cancelled_leaves_no_server(journal: Journal, tmp_path: Path) -> None:
    with trio.move_on_after(0.5) as scope:
        await start(journal, tmp_path, "print(os.getpid(), flush=True); time.sleep(600)")
    assert scope.cancelled_caught
    assert read_journal(journal.path).taken == ()
    for pid in (tmp_path / "log").read_text().split():
        assert ProcessIdentity.of(int(pid)) is None


async def test_a_server_that_cannot_be_started_leaves_no_entry(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        await start(journal, tmp_path, "")
    assert read_journal(journal.path).taken == ()


async def test_a_cancelled_block_that_waits_for_a_stopped_server_ends(
    journal: Journal, tmp_path: Path
) -> None:
    server = await start(journal, tmp_path, "ready(); time.sleep(0.5); print('went on', flush=True)")
    os.kill(server.process.pid, signal.SIGSTOP)
    with trio.fail_after(60), trio.CancelScope() as scope:
        async with ending_bounded(journal):
            scope.cancel()
            with trio.CancelScope(shield=True):
                await server.process.wait()
    assert server.process.returncode == 0


async def test_a_cancelled_block_that_waits_for_a_hanging_server_ends(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "ENDING_SECONDS", 0.2)
    server = await start(journal, tmp_path, "ready(); time.sleep(600)")
    with trio.fail_after(60), trio.CancelScope() as scope:
        async with ending_bounded(journal):
            scope.cancel()
            with trio.CancelScope(shield=True):
                await server.process.wait()
    assert server.process.returncode == -signal.SIGKILL


async def test_a_block_that_ends_by_itself_leaves_its_servers_alone(journal: Journal, tmp_path: Path) -> None:
    server = await start(journal, tmp_path, "ready(); time.sleep(600)")
    async with ending_bounded(journal):
        pass
    with pytest.raises(ValueError, match="as it was"):
        async with ending_bounded(journal):
            raise ValueError("as it was")
    assert server.process.poll() is None
    await server.stop()
