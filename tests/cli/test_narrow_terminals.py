"""On a terminal of 60 columns the tables of a command have the words of a wide one, unbroken."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.block.loop import LoopDevice
from thinsim.pools.records import PoolRecord, PoolRecords
from thinsim.rig.shape import PoolShape

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def at_a_terminal(columns: int, state: Path, *words: str) -> list[str]:
    """Return the lines that a command prints at a terminal of that width."""
    master, slave = pty.openpty()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")},
        "COLUMNS": str(columns),
        "TERM": "xterm",
        "THINSIM_STATE_DIR": str(state),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "thinsim", *words], stdout=slave, stderr=subprocess.DEVNULL, env=environment
    ):
        os.close(slave)
        printed = b""
        while True:
            try:
                printed += os.read(master, 1 << 16)
            except OSError:  # EIO: the command has ended
                break
    os.close(master)
    return _STYLES.sub("", printed.decode()).splitlines()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory with the record of a pool that does not run."""
    records = PoolRecords(tmp_path / "state" / "pools")
    directory = Path("/srv/storage/a-directory-with-a-long-name")
    records.add(PoolRecord(PoolShape("a-pool-with-a-long-name"), directory, "kernel", *[_loop()] * 2))
    return tmp_path / "state"


def _loop() -> LoopDevice:
    return LoopDevice(Path("/dev/loop4095"), 0, 0)


@pytest.mark.parametrize("columns", [60, 72])
@pytest.mark.parametrize("command", ["doctor", "scenarios list", "pool list", "vm probe"])
def test_every_word_of_a_wide_terminal_is_whole_on_a_narrow_one(
    command: str, columns: int, state: Path
) -> None:
    wide = at_a_terminal(240, state, *command.split())
    narrow = at_a_terminal(columns, state, *command.split())
    assert len(wide) > 1
    # The headings are in a paragraph of each row instead of on the first line; available memory changes.
    words = [word for line in wide[1:] for word in line.split() if not re.fullmatch(r"[\d.]+", word)]
    found = " ".join(narrow).split()
    assert [word for word in words if words.count(word) > found.count(word)] == []
    assert [line for line in narrow if len(line.rstrip()) > columns and len(line.split()) > 1] == []
