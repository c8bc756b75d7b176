"""A command takes part in a benchmark with its own costs, and leaves no process behind."""

import os
import sys
from pathlib import Path

import pytest
import trio

from thinsim.benchmark.command_contender import parse_command, run_shell
from thinsim.errors import InvalidValueError, ProgramFailedError

_SPIN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
_HOLD = "held = b'x' * (64 << 20)"


def test_a_command_has_a_name_before_the_first_equals_sign() -> None:
    found = parse_command("list = env A=1 ls")
    assert (found.name, found.command) == ("list", "env A=1 ls")
    for text in ("ls", "=ls", "list=", " = "):
        with pytest.raises(InvalidValueError, match="a command is NAME=COMMAND, such as"):
            parse_command(text)


async def test_the_costs_are_those_of_the_command_and_its_children_alone() -> None:
    large = await run_shell(f'{sys.executable} -c "{_HOLD}"')
    assert large.memory >= 64 << 20
    busy = await run_shell(f'{sys.executable} -c "{_SPIN}"; true')
    assert busy.user + busy.system >= 0.2
    assert busy.memory < 64 << 20
    assert busy.seconds >= 0.2
    assert (await run_shell("true")).user < 0.2


async def test_a_command_finds_the_variables_of_its_run(tmp_path: Path) -> None:
    await run_shell('echo "$SIZE" > "$PLACE"', {"SIZE": "42", "PLACE": str(tmp_path / "seen")})
    assert (tmp_path / "seen").read_text() == "42\n"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("exit 3", "'exit 3' ended with status 3"),
        ("echo first >&2; echo last >&2; false", "ended with status 1: last"),
        ("kill -TERM $$", "ended with signal SIGTERM"),
        ("nonexistent-program", "ended with status 127: "),
    ],
)
async def test_a_command_that_fails_names_itself_its_end_and_its_last_words(
    command: str, complaint: str
) -> None:
    with pytest.raises(ProgramFailedError) as failed:
        await run_shell(command)
    assert complaint in str(failed.value)


async def test_a_cancelled_command_ends_with_its_children(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            run_shell, f"sleep 1000 & echo $! > {written}.new; mv {written}.new {written}; wait"
        )
        with trio.fail_after(60):
            while not written.exists():
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    child = int(written.read_text())
    with trio.fail_after(60):
        while _runs(child):
            await trio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
