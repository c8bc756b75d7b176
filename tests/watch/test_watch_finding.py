"""A device-mapper that does not answer keeps nobody from finding the pools of others."""

import socket
import tempfile
from pathlib import Path

import pytest
from trio.testing import MockClock

from thinsim.errors import ConflictError
from thinsim.watch import finding


async def test_a_device_mapper_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as silent:
        monkeypatch.setattr(finding, "runtime_directory", lambda: Path(directory))
        path = Path(directory) / "1-a" / "dm.sock"
        path.parent.mkdir()
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(ConflictError, match=f"'none' is not running.*on {path} did not answer in 10 s"):
            await finding.find_pool("none")
