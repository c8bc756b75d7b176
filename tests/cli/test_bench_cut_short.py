"""When a benchmark fails or is interrupted, it keeps the complete rounds and reports the reason."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.command_lines import interrupted
from thinsim.benchmark import running
from thinsim.benchmark.document import Benchmark
from thinsim.cli.main import commands
from thinsim.cli.statuses import INTERRUPTED
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
    assert "One round without a warm-up round" in done.stdout
    assert "Cut short after 1 round: " in done.stdout
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
    assert "(no round is complete, so there are no figures to write)" in str(done.exception)
    assert not written.exists()
    assert done.stdout == ""


def test_the_figures_of_an_incomplete_round_are_not_in_the_document(
    fails_at: list[int], tmp_path: Path
) -> None:
    fails_at.append(4)  # the second contender in round 2
    written = tmp_path / "bench.json"
    words = [*WORDS, "--contender", "process/core/on", "--dir", str(tmp_path), "--json", str(written)]
    done = CliRunner().invoke(commands, ["bench", *words])
    assert isinstance(done.exception, ProgramFailedError)
    found = json.loads(written.read_text())
    assert {len(each["figures"]) for each in found["series"]} == {1}
    assert [each["round"] for each in found["loads"]] == [1]
    prepared = next(each for each in found["steps"] if each["step"] == "prepare a snapshot")
    assert prepared["count"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_complete_rounds_in_every_form(number: signal.Signals, tmp_path: Path) -> None:
    work, written = tmp_path / "work", tmp_path / "written"
    work.mkdir()
    written.mkdir()
    kept = {name: written / f"bench.{name}" for name in ("json", "csv", "markdown")}
    plot = written / "bench.svg"
    done = interrupted(
        *("bench", "--contender", "process/core/off", "--command", "short=true", "--warm-up", "0"),
        *("--rounds", "30", "--dir", work, "--plot", plot),
        *(word for name, path in kept.items() for word in (f"--{name}", path)),
        at="round 3, process/core/off",
        number=number,
    )
    assert done.returncode == INTERRUPTED, done.stderr
    where = "interrupted in round 3, process/core/off, pool 2 GiB, image 100 MiB, container 100 MiB"
    assert f"I{where[1:]}: the figures are those of 2 rounds before, of 30 in the plan." in done.stderr
    assert done.stderr.endswith("thinsim: interrupted\n")
    assert "Traceback" not in done.stderr
    assert "Medians of 2 interleaved rounds" in done.stdout
    document = Benchmark.read(kept["json"])
    assert (document.rounds, document.cut_short) == (2, where)
    assert {len(each.figures) for each in document.series} == {2}
    assert kept["csv"].read_text().count("total time,s,false,short") == 2
    assert f"Cut short after 2 rounds: {where}" in kept["markdown"].read_text()
    assert "<svg" in plot.read_text()
    assert list(work.iterdir()) == []


def test_a_signal_before_the_first_round_is_complete_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    words = ("bench", "--command", "long=sleep 1000", "--dir", tmp_path, "--json", written)
    done = interrupted(*words, at="warm-up, long")
    assert done.returncode == INTERRUPTED
    assert "Interrupted in warm-up, long, " in done.stderr
    assert "no round is complete, so there are no figures to write." in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
