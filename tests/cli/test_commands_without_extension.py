"""A missing C extension stops only some of the commands, and their message is the fix."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thinsim.benchmark.document import Benchmark, Series
from thinsim.cli.main import COMMANDS

RUN = """
import sys
sys.modules["fuse_backing._native"] = None  # its import fails
from thinsim.cli.main import main
main()
"""
BUILD = "fuse_backing's C extension is not built"
FIX = "run: pip install -e ."


def without_extension(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def with_extension(*words: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "thinsim", *map(str, words)], capture_output=True, check=True, timeout=120
    )


def benchmark(figure: float) -> str:
    return Benchmark(
        kind="thinsim bench",
        format=1,
        command="thinsim bench",
        environment={},
        rounds=5,
        warm_up=1,
        contenders=["process/core/off"],
        sizes=["pool 1 GiB"],
        series=[
            Series(
                row="prepare a snapshot",
                unit="ms",
                more_is_better=False,
                contender="process/core/off",
                sizes="pool 1 GiB",
                figures=[figure + place / 100 for place in range(5)],
            )
        ],
    ).model_dump_json()


def test_every_command_shows_its_help() -> None:
    shown = without_extension("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    program = RUN.replace("main()", "").replace("import main", "import status_of")
    program += "for name in sys.argv[1:]: assert status_of([name, '--help']) == 0, name"
    done = subprocess.run(
        [sys.executable, "-c", program, *COMMANDS], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(COMMANDS)


@pytest.mark.parametrize("command", ["compare", "bench"])
def test_the_commands_that_measure_speed_show_their_help(command: str) -> None:
    shown = without_extension(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("Usage: ")


def test_two_measurements_are_compared(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(benchmark(2.0))
    after.write_text(benchmark(1.0))
    done = without_extension("compare", before, after, "--json", tmp_path / "comparison.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "prepare a snapshot" in done.stdout
    assert json.loads((tmp_path / "comparison.json").read_text())["kind"] == "thinsim compare"


def test_scenarios_are_listed_and_shown_and_checked(tmp_path: Path) -> None:
    listed = without_extension("scenarios", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "busy-device" in listed.stdout
    shown = without_extension("scenarios", "show", "busy-device")
    assert shown.returncode == 0
    (tmp_path / "mine.toml").write_text(shown.stdout)
    assert without_extension("scenarios", "check", tmp_path / "mine.toml").returncode == 0


def test_a_document_of_a_run_is_reported(tmp_path: Path) -> None:
    document = tmp_path / "run.json"
    with_extension("run", "busy-device", "--rig", "process", "--json", document)
    done = without_extension("report", document, "--html", tmp_path / "report.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<html" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("words", [("run", "busy-device"), ("reproduce",)])
def test_a_command_that_needs_a_ledger_names_the_fix_in_one_line(words: tuple[str, ...]) -> None:
    done = without_extension(*words, "--rig", "process")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"thinsim: {BUILD}")
    assert last.endswith(FIX)


def test_the_doctor_shows_the_missing_extension_and_the_fix() -> None:
    done = without_extension("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    lack = found["fuse_backing C extension"]
    assert not lack["present"]
    assert BUILD in lack["detail"]
    assert "make setup" in lack["fix"]
