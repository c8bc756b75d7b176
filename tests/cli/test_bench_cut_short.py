"""When a run of a benchmark fails, the complete rounds before it are kept, and the failure is reported."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from thinsim.benchmark import running
from thinsim.cli.main import commands
from thinsim.errors import DeviceMapperError, ProgramFailedError
from thinsim.scenario.progress import Progress
from thinsim.scenario.reproduce import Reproduction, ReproductionRequest

WORDS = ("--contender", "process/core/off", "--warm-up", "0", "--rounds", "3")


@pytest.fixture
def fails_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list for the numbers of the runs that fail. The other runs are real."""
    numbers: list[int] = []
    real, done = running.run_reproduction, 0

    async def run_reproduction(request: ReproductionRequest, progress: Progress) -> Reproduction:
        nonlocal done
        done += 1
        if done in numbers:
            raise DeviceMapperError(28, "pool: create thin")
        return await real(request, progress)

    monkeypatch.setattr(running, "run_reproduction", run_reproduction)
    return numbers


def test_the_rounds_before_a_failure_are_kept(fails_at: list[int], tmp_path: Path) -> None:
    fails_at.append(2)
    written = tmp_path / "bench.json"
    done = CliRunner().invoke(commands, ["bench", *WORDS, "--dir", str(tmp_path), "--json", str(written)])
    assert isinstance(done.exception, ProgramFailedError)
    why = "round 2, process/core/off, pool 2 GiB, image 100 MiB, container 100 MiB: pool: create thin"
    assert str(done.exception).startswith(why)
    assert "the figures are those of 1 round before, of 3 in the plan" in str(done.exception)
    assert "One round after 0 to warm up" in done.stdout
    found = json.loads(written.read_text())
    assert found["rounds"] == 1
    assert found["cut_short"].startswith(why)
    compared = CliRunner().invoke(commands, ["compare", str(written), str(written)])
    assert compared.exit_code == 0
    assert f"A was cut short after 1 round: {why}" in " ".join(compared.stdout.split())
    compared = CliRunner().invoke(commands, ["compare", str(written), str(written), "--json", "-"])
    assert [text[:19] for text in json.loads(compared.stdout)["cut_short"]] == [
        "A was cut short aft",
        "B was cut short aft",
    ]


def test_without_a_whole_round_there_is_nothing_to_show(fails_at: list[int], tmp_path: Path) -> None:
    fails_at.append(1)
    written = tmp_path / "bench.json"
    done = CliRunner().invoke(commands, ["bench", *WORDS, "--dir", str(tmp_path), "--json", str(written)])
    assert isinstance(done.exception, ProgramFailedError)
    assert str(done.exception).startswith("round 1, process/core/off")
    assert not written.exists()
    assert done.stdout == ""
