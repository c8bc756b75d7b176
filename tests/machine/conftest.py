"""A journal of a run, in a state directory of the test's own."""

from pathlib import Path

import pytest

from thinsim.machine.journal import Journal


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    return Journal.create()
