"""A long command prints one line of progress per run in a log, and none with ``--quiet``."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.command_lines import Thinsim
from tests.cli.command_tree import every_command
from thinsim.cli.main import commands
from thinsim.cli.progress import TerminalProgress
from thinsim.conformance.answers.recordings import recorded_files

_LONG = {
    *("thinsim heights", "thinsim reclaim"),
    *("thinsim run", "thinsim reproduce", "thinsim bench", "thinsim baseline save", "thinsim ci"),
    *("thinsim snapshotter crashes", "thinsim snapshotter leaks", "thinsim vm run"),
    *(f"thinsim conformance {name}" for name in ("check", "run", "record", "heights")),
}
_SCENARIO = """
title = "short"
[[variant]]
name = "one"
[[variant]]
name = "two"
[[phase]]
name = "only"
steps = [{ do = "prepare", key = "a" }, { do = "assert", leaked = 0 }]
[[phase]]
name = "more"
steps = [{ do = "remove", key = "a" }]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "short.toml"
    path.write_text(_SCENARIO)
    return path


def test_every_long_command_can_be_quiet() -> None:
    quiet = {
        name
        for name, command in every_command(commands, "thinsim")
        if any("-q" in parameter.opts for parameter in command.params)
    }
    assert quiet == _LONG


def test_a_log_has_one_line_per_variant(thinsim: Thinsim, scenario: Path) -> None:
    done = thinsim("run", scenario, "--rig", "process")
    assert [line[8:] for line in done.stderr.splitlines()[1:]] == ["[1/2] one", "[2/2] two"]


def test_a_log_has_one_line_per_setting(thinsim: Thinsim) -> None:
    done = thinsim("reproduce", "--rig", "process", "--setting", "on")
    assert [line[8:] for line in done.stderr.splitlines()[2:]] == ["[1/1] discard_blocks=true"]


@pytest.mark.parametrize(
    "words",
    [
        ["run", "SCENARIO", "--rig", "process"],
        ["bench", "--contender", "process/core/on", "--rounds", "1", "--warm-up", "0"],
        ["snapshotter", "crashes", "--operation", "view", "--profile", "fixed"],
        ["snapshotter", "leaks", "--rig", "process", "--fault", "A"],
        ["conformance", "check", str(recorded_files()[0]), "--only", "names"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_quiet_command_prints_its_results_only(thinsim: Thinsim, scenario: Path, words: list[str]) -> None:
    done = thinsim(*(str(scenario) if word == "SCENARIO" else word for word in words), "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_quiet_command_prints_what_it_kept_and_what_is_wrong(thinsim: Thinsim, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(_SCENARIO.replace("leaked = 0", "pool_used = 1"))
    done = thinsim("run", wrong, "--rig", "process", "--dir", tmp_path, "--keep", "--quiet")
    kept, *broken = done.stderr.splitlines()
    assert Path(kept.removeprefix("kept: ")).is_dir()
    assert [line.split(":")[1] for line in broken] == [" one", " two"]


def test_a_warning_is_printed_although_the_command_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress(Console(stderr=True, quiet=True)) as progress:
        progress.say("building an image")
        progress.setting(1, 1, "one")
        progress.warn("the image has two platforms")
    assert capsys.readouterr().err == "the image has two platforms\n"


def test_a_terminal_has_a_live_line_and_no_line_per_run() -> None:
    shown = io.StringIO()
    with TerminalProgress(Console(file=shown, force_terminal=True, width=100)) as progress:
        progress.setting(1, 2, "one")
        progress.step("image imported", "unpack layer-1")
    assert "[1/2] one: image imported: unpack layer-1" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K")  # the line is erased at the end
    assert shown.getvalue().count("\n") == 1
