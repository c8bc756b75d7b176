"""The statuses of programs are those of the recorded versions, whichever version is installed."""

from pathlib import Path

import pytest

from thinsim.conformance.requests.programs import run_program


@pytest.mark.parametrize(("exits", "recorded"), [(0, 0), (1, 1), (2, 1)])
def test_a_request_that_the_device_refuses_fails_blkdiscard_of_each_version(
    exits: int, recorded: int, tmp_path: Path
) -> None:
    node = tmp_path / "node"
    node.write_bytes(bytes(16 << 20))
    found = run_program("blkdiscard --secure", node, lambda *words: (exits, "", ""))
    assert found == (0, f"exit {recorded}; 0+524288 old")
