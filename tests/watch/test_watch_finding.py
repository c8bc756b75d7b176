"""A device-mapper that does not answer keeps nobody from finding the pools of others."""

import socket
import tempfile
from pathlib import Path

import pytest
from trio.testing import MockClock

from thinsim.errors import ConflictError
from thinsim.machine.sockets import RUNTIME_VARIABLE
from thinsim.watch.finding import find_pool


async def test_a_device_mapper_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as silent:
        monkeypatch.setenv(RUNTIME_VARIABLE, directory)
        path = Path(directory) / "1-a" / "dm.sock"
        path.parent.mkdir()
        silent.bind(str(path))
        silent.listen()
        silence = f"the device-mapper on {path} did not answer in 10 s"
        with pytest.raises(ConflictError, match=f"'none' is not running.*{silence}"):
            await find_pool("none")
