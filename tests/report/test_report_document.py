"""The report of a real run fits its JSON schema, and JUnit XML has its asserts and leaks."""

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from tests.report.scenario_report import run_text
from thinsim.errors import InvalidValueError
from thinsim.report.document import Report, from_json, json_schema, to_json
from thinsim.report.junit import junit
from thinsim.report.report_table import print_report


def test_the_document_fits_its_schema_and_reads_back_equal(image_removal: Report) -> None:
    text = to_json(image_removal)
    jsonschema.validate(json.loads(text), json_schema(), cls=jsonschema.Draft202012Validator)
    assert from_json(text, "here") == image_removal


def test_the_schema_itself_is_valid_and_requires_what_the_document_is_about() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"runs", "rig", "command", "environment", "scenario"} <= set(schema["required"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kind": "thinsim report", "format": 2}, schema)


def test_fields_of_a_newer_version_are_ignored_and_a_missing_field_is_named(image_removal: Report) -> None:
    document = json.loads(to_json(image_removal))
    assert from_json(json.dumps({**document, "new": 1}), "here") == image_removal
    del document["runs"][1]["leaked"]
    with pytest.raises(
        InvalidValueError, match=r"f\.json is not a thinsim report of format 2: runs\.1\.leaked"
    ):
        from_json(json.dumps(document), "f.json")
    for text in ("", "[]", '{"kind": "thinsim baseline"}'):
        with pytest.raises(InvalidValueError, match="not a thinsim report"):
            from_json(text, "f.json")


def test_the_numbers_of_all_heights_agree(image_removal: Report) -> None:
    as_containerd, as_it_should = image_removal.runs
    assert as_it_should.leaked == 0
    assert as_containerd.leaked == sum(leak.bytes for leak in as_containerd.leaks) > 24 << 20
    for run in image_removal.runs:
        grown = sum(sample.host_grown - sample.host_freed for sample in run.samples)
        assert grown == run.samples[-1].host_allocated == run.leaked
        assert sum(event.freed for event in run.events) == sum(sample.ledger_freed for sample in run.samples)
        times = [sample.at for sample in run.samples]
        assert times == sorted(times)
        assert all(0 <= event.time - run.started <= times[-1] + 1 for event in run.events)
        assert run.speed is not None
        assert run.speed.discards > 0


def test_the_command_repeats_the_run(image_removal: Report) -> None:
    assert image_removal.command_line == "thinsim run image-removal --rig process"


def test_junit_has_one_case_per_assert_and_one_for_the_limit(image_removal: Report) -> None:
    root = ElementTree.fromstring(junit(image_removal, fail_on_leak=0))
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["image-removal: as containerd", "image-removal: as it should"]
    leaking, sound = suites.values()
    assert (leaking.get("tests"), leaking.get("failures")) == ("8", "1")
    assert (sound.get("tests"), sound.get("failures")) == ("7", "0")
    (failure,) = leaking.iter("failure")
    assert "layer-1 (thin 1): " in str(failure.get("message"))
    total = sum(float(str(case.get("time"))) for case in sound.iter("testcase"))
    assert total == pytest.approx(float(str(sound.get("time"))), abs=0.01)
    # The sum includes measuring and the phases without an assert.
    assert total == pytest.approx(sum(image_removal.runs[1].seconds.values()), abs=0.01)


def test_junit_is_well_formed_whatever_is_in_a_name(image_removal: Report) -> None:
    odd = '\a\x1b[31m<\ud800\uffff>&"é😀'
    run = image_removal.runs[0]
    broken = replace(run.outcomes[0], asserted=odd, held=False, found=odd, why="")
    named = image_removal.model_copy(
        update={"runs": [run.model_copy(update={"name": odd, "outcomes": [broken]})]}
    )
    written = junit(named)
    assert written.encode()
    (suite,) = ElementTree.fromstring(written)
    escaped = '\\x07\\x1b[31m<\\xd800\\xffff>&"é😀'
    assert suite.get("name") == f"image-removal: {escaped}"
    assert [failure.text for failure in suite.iter("failure")] == [f"found {escaped}"]


def test_an_assert_that_does_not_hold_is_a_failure_everywhere(tmp_path: Path) -> None:
    text = """
title = "<wrong> & printed"
[[phase]]
name = "one"
steps = [{ do = "prepare", key = "a" }, { do = "assert", pool_used = 1, why = "<&>" }]
"""
    report = run_text(text, tmp_path)
    ((variant, outcome),) = report.broken
    assert (variant, outcome.found) == ("as it is", "256 KiB (262144)")
    (failure,) = ElementTree.fromstring(junit(report)).iter("failure")
    assert failure.get("message") == "found 256 KiB (262144) (<&>)"
    console = Console(width=120, file=io.StringIO())
    print_report(console, report)
    printed = console.file.getvalue()
    assert "FAIL one: pool_used = 1; found 256 KiB (262144) (<&>)" in printed


def test_the_table_goes_below_where_it_does_not_fit_beside(image_removal: Report) -> None:
    widths = {}
    for width in (80, 200):
        console = Console(width=width, file=io.StringIO())
        print_report(console, image_removal)
        widths[width] = console.file.getvalue()
    header = next(line for line in widths[200].splitlines() if "as containerd" in line)
    assert "as it should" in header
    assert not any("as containerd" in line and "as it should" in line for line in widths[80].splitlines())


def test_a_bracket_in_a_title_is_no_markup(image_removal: Report) -> None:
    odd = image_removal.model_copy(update={"title": "[bold]x[/nope]"})
    run = odd.runs[0]
    outcomes = [replace(run.outcomes[0], why="[red]")]
    leaks = [replace(leak, owner=replace(leak.owner, snapshot="[/layer]")) for leak in run.leaks]
    named = {"name": "[/variant]", "outcomes": outcomes, "leaks": leaks}
    odd = odd.model_copy(update={"runs": [run.model_copy(update=named)]})
    console = Console(width=200, file=io.StringIO())
    print_report(console, odd)
    printed = console.file.getvalue()
    assert "[bold]x[/nope]" in printed
    assert "[/variant]: 1 of 1 asserts hold" in printed
    assert "[/variant]: " in printed.split("leaked (")[0]
    assert "[/layer]" in printed
