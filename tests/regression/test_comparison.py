"""A run is compared with a baseline by numbers alone: each change has its kind and its text."""

from xml.etree import ElementTree

import pytest

from tests.regression.stored import HERE, baseline, cost, costs, kinds, leak, scenario, variant
from thinsim.errors import InvalidValueError
from thinsim.regression.baseline import Baseline, ScenarioBaseline, read_baseline, replaced
from thinsim.regression.comparison import (
    ALLOWABLE_KINDS,
    ChangeKind,
    ComparisonResult,
    ComparisonRules,
    ScenarioComparison,
    compare_scenario,
    compare_with_baseline,
    differing_environment,
)
from thinsim.regression.junit_cases import suites_of
from thinsim.regression.markdown import markdown
from thinsim.regression.speed import SpeedVerdict
from thinsim.regression.tolerances import LeakTolerance, Tolerances
from thinsim.report.junit import document

RULES = ComparisonRules()


def changes(
    now: ScenarioBaseline, then: ScenarioBaseline | None, rules: ComparisonRules = RULES
) -> list[tuple[str, str]]:
    return [(change.kind, change.text) for change in compare_scenario(now, then, rules).changes]


def result(*comparisons: ScenarioComparison, **changed: object) -> ComparisonResult:
    values: dict[str, object] = {"failed": {}, "missing": [], "tolerances": Tolerances()}
    return ComparisonResult(comparisons, **{**values, **changed})  # type: ignore[arg-type]


def test_the_same_again_is_no_change() -> None:
    found = compare_scenario(scenario(variant(leak("a", 9))), scenario(variant(leak("a", 9))), RULES)
    assert (found.changes, found.undecided) == ([], False)


def test_a_scenario_that_the_baseline_lacks_fails_unless_new_ones_are_allowed() -> None:
    now = scenario(variant(broken=["p: leaked = 0"]))
    (new, broken) = compare_scenario(now, None, RULES).failures
    assert (new.kind, new.text) == (ChangeKind.NEW, "the baseline does not have this scenario")
    assert (broken.kind, broken.text) == (ChangeKind.BROKEN, "fails: p: leaked = 0")
    assert kinds(compare_scenario(now, None, ComparisonRules(allowed=ALLOWABLE_KINDS)).failures) == ["assert"]


def test_a_variant_that_is_new_and_one_that_vanished_fail_unless_allowed() -> None:
    now, then = scenario(variant(name="a", settings="1")), scenario(variant(name="b", settings="2"))
    assert sorted(changes(now, then)) == [
        ("missing", "the baseline has this variant, and it did not run"),
        ("new", "the baseline does not have this variant"),
    ]
    assert kinds(compare_scenario(now, then, RULES).failures) == ["missing", "new"]
    assert compare_scenario(now, then, ComparisonRules(allowed=ALLOWABLE_KINDS)).failures == []


def test_a_leak_in_a_renamed_variant_is_found() -> None:
    now = scenario(variant(leak("container", 5), name="renamed"))
    assert kinds(compare_scenario(now, scenario(variant()), RULES).failures) == ["leak"]
    assert ("note", "in the baseline, the name of this variant is v") in changes(now, scenario(variant()))


def test_settings_and_files_that_changed_are_notes() -> None:
    now = scenario(variant(settings="2"), sha256="1", key="moved.toml")
    assert changes(now, scenario(variant())) == [
        ("note", "in the baseline, this scenario is s.toml"),
        ("note", "the scenario's file has changed since the baseline was saved"),
        ("note", "the snapshotter's settings have changed since the baseline was saved"),
    ]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"rig": "emulated"}, "this run was on rig emulated, the baseline's on process"),
        ({"block_bytes": 131072}, "data blocks of 128 KiB, in the baseline of 64 KiB"),
    ],
)
def test_leaks_under_other_conditions_are_not_compared_and_that_fails(
    changed: dict[str, object], why: str
) -> None:
    now, then = scenario(variant(leak("a", 9)), **changed), scenario(variant(leak("a", 5)))
    found = compare_scenario(now, then, RULES)
    assert [(each.kind, each.text) for each in found.failures] == [("incomparable", f"{why}: not compared")]
    assert (found.variants[0].speed.verdict, found.variants[0].speed.reason) == (
        SpeedVerdict.NOT_COMPARED,
        why,
    )
    assert compare_scenario(now, then, ComparisonRules(allowed=ALLOWABLE_KINDS)).failures == []


def test_what_leaked_nothing_is_compared_under_all_conditions_and_so_are_asserts() -> None:
    now = scenario(variant(leak("a", 1), broken=["p: x"]), rig="emulated")
    assert kinds(compare_scenario(now, scenario(variant()), RULES).failures) == ["leak", "assert"]


@pytest.mark.parametrize("name", ["kernel", "processor", "file system", "python"])
def test_times_of_another_machine_are_not_compared_and_that_fails_nothing(name: str) -> None:
    now = scenario(variant(costs=costs(9.0)), environment={**HERE, name: "other"})
    found = compare_scenario(now, scenario(variant()), RULES)
    assert found.variants[0].speed.reason == f"not the {name} of the baseline"
    assert found.failures == []


def test_times_of_the_same_rounds_are_compared_on_any_machine() -> None:
    now = scenario(variant(costs=costs(0.3), discards=5), environment={})
    beside = {"s.toml": scenario(variant(costs=costs(0.1), discards=5))}
    (found,) = compare_with_baseline([now], baseline(scenario(variant())), RULES, beside)
    assert kinds(found.failures) == ["speed"]


def test_other_discards_than_before_are_not_compared() -> None:
    found = compare_scenario(scenario(variant(discards=5)), scenario(variant()), RULES)
    assert found.variants[0].speed.reason == "5 devices were discarded, 4 in the baseline"


def test_speed_is_compared_unless_it_is_not_wanted() -> None:
    now = scenario(variant(costs=costs(0.3)))
    assert kinds(compare_scenario(now, scenario(variant()), RULES).failures) == ["speed"]
    without = ComparisonRules(Tolerances(compare_speed=False))
    assert compare_scenario(now, scenario(variant()), without).failures == []


def test_rounds_without_a_verdict_fail_nothing() -> None:
    now = scenario(variant(costs=[cost(0.05), cost(0.15), cost(0.5)]))
    found = compare_scenario(now, scenario(variant()), RULES)
    assert (kinds(found.changes), found.failures, found.undecided) == (["can't tell"], [], True)


def test_an_assert_that_held_and_does_not_any_more_is_a_regression_and_the_reverse_is_not() -> None:
    broken = scenario(variant(broken=["p: leaked = 0"]))
    assert changes(broken, scenario(variant())) == [("assert", "fails now, held before: p: leaked = 0")]
    assert changes(scenario(variant()), broken) == [("better", "holds now, failed before: p: leaked = 0")]
    assert changes(broken, broken) == []


def test_tolerances_apply_to_the_scenario_that_they_name() -> None:
    rules = ComparisonRules(Tolerances(leak_of={"s.toml": LeakTolerance(50, "percent")}))
    now = scenario(variant(leak("a", 15)))
    assert compare_scenario(now, scenario(variant(leak("a", 10))), rules).failures == []
    other = scenario(variant(leak("a", 15)), key="other.toml")
    assert compare_scenario(other, scenario(variant(leak("a", 10)), key="other.toml"), rules).failures


def test_the_markdown_has_a_row_for_every_variant_and_for_every_scenario_that_did_not_run() -> None:
    now = scenario(variant(leak("a", 2)), variant(name="new|one", settings="2"))
    then = scenario(variant(leak("a", 1)), variant(name="gone", settings="3"))
    text = markdown(
        result(compare_scenario(now, then, RULES), failed={"bad.toml": "line 1:\nno"}, missing=["old.toml"])
    )
    assert text.startswith("### thinsim: 1 could not run, 1 regression, 2 not compared\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows == [
        "| s.toml | v | process | 128 KiB | 64 KiB | 1.00 (0.82 to 1.22) | leak |",
        "| s.toml | new\\|one | process | 0 B |  | not compared | new |",
        "| s.toml | gone |  |  |  |  | missing |",
        "| bad.toml |  |  |  |  |  | error |",
        "| old.toml |  |  |  |  |  | missing (allowed) |",
    ]
    assert "- **error**: bad.toml: line 1: no\n" in text
    assert "- **leak**: s.toml / v: 2 data blocks (128 KiB) leaked" in text


def test_an_interrupted_comparison_shows_that_it_is_incomplete() -> None:
    assert markdown(result(interrupted=True)).startswith("### thinsim: interrupted, incomplete\n")


def test_junit_skips_what_was_not_compared_and_has_the_times() -> None:
    now = scenario(variant(discards=5, seconds=2.5), variant(name="new", settings="2", seconds=1.0))
    found = compare_scenario(now, scenario(variant(), variant(name="gone", settings="3")), RULES)
    root = ElementTree.fromstring(
        document(suites_of(result(found, failed={"bad.toml": "no"}, missing=["old.toml"]), 0.0)).encode()
    )
    counts = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "11", "failures": "2", "errors": "1", "skipped": "4", "time": "3.500"}
    skipped = {case.get("name"): case[0].get("message") for case in root.iter("testcase") if len(case)}
    assert skipped["v: speed"] == "not compared: 5 devices were discarded, 4 in the baseline"
    assert skipped["new: leak"] == "not in the baseline"
    assert skipped["gone: ran"] == "the baseline has this variant, and it did not run"


def test_a_baseline_that_is_renewed_keeps_the_scenarios_that_did_not_run() -> None:
    a, b, c = (scenario(variant(), key=key) for key in "abc")
    new = scenario(variant(), key="b", title="new")
    assert replaced(baseline(a, b), [new, c], []).scenarios == [a, new, c]
    assert replaced(baseline(a, b), [c], ["a", "b"]).scenarios == [c]


def test_a_baseline_is_read_as_it_was_written() -> None:
    stored = baseline(scenario(variant(leak("a", 1))))
    assert read_baseline(stored.model_dump_json(), "b.json") == stored


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the document: Invalid JSON"),
        ('{"kind": "thinsim baseline", "format": 1}', "format: Input should be 2"),
        ('{"kind": "thinsim scenario"}', "kind"),
        ('{"scenarios": []}', "scenarios: List should have at least 1 item"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_with_the_place_of_the_fault(text: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=r"b\.json is not a thinsim baseline") as caught:
        read_baseline(text, "b.json")
    assert message in str(caught.value)


def test_environments_are_compared_by_name() -> None:
    assert differing_environment({"kernel": "1", "x": "1"}, {"kernel": "2", "x": "1", "y": "3"}) == [
        "kernel: 1, in the baseline 2",
        "y: none, in the baseline 3",
    ]


def test_a_field_that_is_not_known_is_refused() -> None:
    text = (
        Baseline(scenarios=[scenario(variant())]).model_dump_json().replace('"format":2', '"format":2,"x":1')
    )
    with pytest.raises(InvalidValueError, match="x: Extra inputs"):
        read_baseline(text, "b.json")
