"""The fixture `thinsim` runs command lines in this process."""

from pathlib import Path

import pytest

from tests.cli.command_lines import Done, Thinsim
from thinsim.cli.main import status_of


@pytest.fixture
def thinsim(capsys: pytest.CaptureFixture[str]) -> Thinsim:
    """Run a command line in this process. A new process spends a second on loading."""

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        status = status_of([str(word) for word in arguments])
        return Done(status, *capsys.readouterr())

    return call
