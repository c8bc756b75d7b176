"""A run that a failure or a signal ends early writes every output, marked as cut short."""

import json
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.command_lines import Thinsim, interrupted
from tests.report.junit_form import check_junit
from thinsim.cli.statuses import INTERRUPTED
from thinsim.report.document import json_schema

_SCENARIO = """\
title = "A step fails"
[[variant]]
name = "one"
[[variant]]
name = "two"
[[phase]]
name = "written"
steps = [{ do = "prepare", key = "a" }, { do = "write", key = "a", name = "f", size = "1MiB" }]
[[phase]]
name = "removed"
steps = [
  { do = "write", key = "a", name = "g", size = "512MiB", only = ["two"] }, { do = "remove", key = "a" }
]
"""
WHY = "phase 'removed': write a g: No space left on device"
REPRODUCE = ("reproduce", "--rig", "process", "--setting", "off", "--setting", "on")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "fails.toml"
    path.write_text(_SCENARIO)
    return path


def test_a_step_that_fails_leaves_every_output(thinsim: Thinsim, scenario: Path, tmp_path: Path) -> None:
    outputs = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "html")}
    options = [word for name, path in outputs.items() for word in (f"--{name}", path)]
    done = thinsim("run", scenario, "--rig", "process", "--dir", tmp_path, *options)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"thinsim: {scenario}:12: {WHY}"
    assert f"Cut short in two: {scenario}:12: {WHY}" in done.stdout
    assert "two: 0 B leaked (0 bytes) when the run was cut short" in done.stdout

    document = written(outputs["json"])
    assert document["cut_short"] == f"{scenario}:12: {WHY}"
    one, two = document["runs"]
    assert (one["cut_short"], two["cut_short"]) == (None, document["cut_short"])
    assert [sample["step"] for sample in two["samples"]][-2:] == ["write f in a", "write g in a"]

    suites = list(check_junit(outputs["junit"].read_text()))
    assert [suite.attrib["errors"] for suite in suites] == ["0", "1"]
    assert [error.attrib["message"].endswith(WHY) for error in suites[1].iter("error")] == [True]

    page = outputs["html"].read_text()
    assert page.index("Cut short in two: ") < page.index("<h2>In short</h2>")


def test_standard_output_gets_the_document_of_a_run_that_fails(
    thinsim: Thinsim, scenario: Path, tmp_path: Path
) -> None:
    done = thinsim("run", scenario, "--rig", "process", "--dir", tmp_path, "--json", "-")
    assert done.returncode == 1
    assert [run["cut_short"] is None for run in json.loads(done.stdout)["runs"]] == [True, False]


def test_a_saved_report_that_was_cut_short_does_not_pass_a_gate(
    thinsim: Thinsim, scenario: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "report.json"
    thinsim("run", scenario, "--rig", "process", "--dir", tmp_path, "--json", saved)
    shown = thinsim("report", saved)
    assert (shown.returncode, "Cut short in two: " in shown.stdout) == (0, True)
    gate = thinsim("report", saved, "--fail-on-leak", "1G", "--junit", tmp_path / "gate.xml")
    assert gate.returncode == 1
    assert gate.stderr == f"thinsim: {saved}: the run was cut short, so it may leak more\n"
    root = check_junit((tmp_path / "gate.xml").read_text())
    assert (root.attrib["errors"], root.attrib["skipped"]) == ("1", "1")
    assert thinsim("report", saved, "--fail-on-leak", "0").returncode == 3


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("run", "image-removal", "--rig", "process"), signal.SIGINT),
        (("run", "image-removal", "--rig", "process"), signal.SIGTERM),
        (REPRODUCE, signal.SIGTERM),
    ],
    ids=("run-SIGINT", "run-SIGTERM", "reproduce-SIGTERM"),
)
def test_a_signal_leaves_the_runs_that_ended_and_the_steps_before_it(
    words: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    saved, work = tmp_path / "report.json", tmp_path / "work"
    work.mkdir()
    done = interrupted(*words, "--dir", work, "--json", saved, at="[2/2]", number=number)
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr.endswith("thinsim: interrupted\n")
    document = written(saved)
    whole, broken = document["runs"]
    assert f"Cut short in {broken['name']}: a signal interrupted the command" in done.stdout
    assert document["cut_short"] == broken["cut_short"] == "a signal interrupted the command"
    assert whole["cut_short"] is None
    assert {sample["phase"] for sample in whole["samples"]} == set(document["phases"])
    assert len(broken["samples"]) < len(whole["samples"])
    assert list(work.iterdir()) == []


def test_a_reproduction_has_all_outputs_of_a_run(thinsim: Thinsim, tmp_path: Path) -> None:
    outputs = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "html")}
    options = [word for name, path in outputs.items() for word in (f"--{name}", path)]
    done = thinsim(*REPRODUCE, "--dir", tmp_path, *options, "--fail-on-leak", "100M")
    assert done.returncode == 3
    off = done.stderr.splitlines()[4]
    assert off.startswith("thinsim: discard_blocks=false: leaked ")
    assert off.endswith(", more than 100 MiB")
    document = written(outputs["json"])
    assert (document["kind"], document["name"]) == ("thinsim report", "reproduce")
    assert document["reproduction"]["subject"] == "core"
    for run in document["runs"]:
        assert sum(event["freed"] for event in run["events"]) == sum(
            sample["ledger_freed"] for sample in run["samples"]
        )
    suites = list(check_junit(outputs["junit"].read_text()))
    assert [suite.attrib["name"] for suite in suites] == [
        "reproduce: discard_blocks=false",
        "reproduce: discard_blocks=true",
    ]
    assert "discard_blocks=true" in outputs["html"].read_text()
    again = thinsim("report", outputs["json"])
    assert (again.returncode, again.stdout) == (0, done.stdout)


def written(path: Path) -> dict[str, Any]:
    """Return the document in *path*, which fits the schema of reports."""
    document: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(document, json_schema(), cls=jsonschema.Draft202012Validator)
    return document
