"""A run is compared with a baseline by numbers alone: each change has its kind and its text."""

import pytest

from thinsim.errors import InvalidValueError
from thinsim.regression.baseline import Baseline, ScenarioBaseline, VariantBaseline, read_baseline
from thinsim.regression.comparison import ChangeKind, compare_with_baseline, differing_environment
from thinsim.regression.markdown import markdown

BLOCK = 65536


def variant(**changed: object) -> VariantBaseline:
    values: dict[str, object] = {
        "name": "v",
        "least_leaked": 10 * BLOCK,
        "most_leaked": 12 * BLOCK,
        "leaked_by": {"layer-1": 12 * BLOCK},
        "broken": [],
        "discards": 4,
        "discard_seconds": 1.0,
    }
    return VariantBaseline(**{**values, **changed})  # type: ignore[arg-type]


def scenario(*variants: VariantBaseline, **changed: object) -> ScenarioBaseline:
    values: dict[str, object] = {
        "name": "s",
        "rig": "process",
        "sha256": "0",
        "rounds": 3,
        "machine_seconds": 0.002,
    }
    return ScenarioBaseline(**{**values, **changed}, variants=list(variants))  # type: ignore[arg-type]


def changes(now: ScenarioBaseline, then: ScenarioBaseline | None) -> list[tuple[str, str]]:
    return [(change.kind, change.text) for change in compare_with_baseline(now, then, tolerance=1.5).changes]


def test_the_same_again_is_no_change() -> None:
    assert changes(scenario(variant()), scenario(variant())) == []


def test_within_what_the_rounds_leaked_is_no_change() -> None:
    assert changes(scenario(variant(most_leaked=11 * BLOCK)), scenario(variant())) == []


def test_one_byte_more_than_ever_is_a_leak_with_its_owner() -> None:
    now = variant(most_leaked=12 * BLOCK + 1, leaked_by={"layer-1": 12 * BLOCK, "container": 1})
    ((kind, text),) = changes(scenario(now), scenario(variant()))
    assert kind == ChangeKind.LEAK
    assert text == "768.0 KiB leaked, 768 KiB before: 1 bytes more (container: 1 more)"


def test_a_tolerance_is_for_variants_that_leak_in_the_baseline_alone() -> None:
    now, then = scenario(variant(most_leaked=12 * BLOCK + 4096)), scenario(variant())
    assert compare_with_baseline(now, then, tolerance=1.5, leak_tolerance=4096).changes == ()
    assert compare_with_baseline(now, then, tolerance=1.5, leak_tolerance=4095).failures
    sound = scenario(variant(least_leaked=0, most_leaked=0, leaked_by={}))
    one = scenario(variant(least_leaked=1, most_leaked=1, leaked_by={"a": 1}))
    assert compare_with_baseline(one, sound, tolerance=1.5, leak_tolerance=4096).failures


def test_less_than_ever_is_better() -> None:
    now = variant(least_leaked=0, most_leaked=0, leaked_by={})
    assert changes(scenario(now), scenario(variant())) == [("better", f"leaks {10 * BLOCK} bytes less")]


@pytest.mark.parametrize(
    ("discards", "machine", "kind"),
    [
        (1.5, 0.002, None),
        (1.51, 0.002, ChangeKind.SLOWER),
        (2.0, 0.002, ChangeKind.SLOWER),
        (2.0, 0.004, None),  # a machine that is half as fast
        (1.0, 0.001, ChangeKind.SLOWER),  # one that is twice as fast
        (0.5, 0.002, ChangeKind.BETTER),
    ],
)
def test_discards_are_compared_as_a_ratio_to_what_the_machine_can(
    discards: float, machine: float, kind: ChangeKind | None
) -> None:
    now = scenario(variant(discard_seconds=discards), machine_seconds=machine)
    assert [each for each, _ in changes(now, scenario(variant()))] == ([kind] if kind else [])


def test_short_discards_differ_from_long_ones_but_not_from_each_other() -> None:
    short = scenario(variant(discard_seconds=0.01))
    assert changes(scenario(variant(discard_seconds=0.04)), short) == []
    ((kind, text),) = changes(scenario(variant(discard_seconds=0.1)), short)
    assert kind == ChangeKind.SLOWER
    assert text.endswith("a ratio of 2.00, more than 1.5")


def test_other_discards_than_before_are_not_compared() -> None:
    now = variant(discards=5, discard_seconds=100.0)
    assert changes(scenario(now), scenario(variant())) == []


def test_an_assert_that_held_and_does_not_any_more_is_a_regression_and_the_reverse_is_not() -> None:
    broken = variant(broken=["p: leaked = 0"])
    assert changes(scenario(broken), scenario(variant())) == [
        ("assert", "fails now, held before: p: leaked = 0")
    ]
    held = ("better", "holds now, failed before: p: leaked = 0")
    assert changes(scenario(variant()), scenario(broken)) == [held]
    assert changes(scenario(broken), scenario(broken)) == []


def test_a_note_names_each_thing_that_cannot_be_compared() -> None:
    assert changes(scenario(variant()), None) == [("note", "not in the baseline")]
    assert changes(scenario(variant(), rig="emulated", sha256="1"), scenario(variant())) == [
        ("note", "the baseline ran on rig process, this run on emulated: discard costs are not compared"),
        ("note", "the scenario's file has changed since the baseline was saved"),
    ]
    assert changes(scenario(variant(name="new")), scenario(variant())) == [
        ("note", "not in the baseline"),
        ("note", "in the baseline, but not run now"),
    ]


def test_an_assert_that_the_baseline_knows_nothing_of_has_to_hold() -> None:
    broken = variant(broken=["p: leaked = 0"])
    failure = ("assert", "fails: p: leaked = 0")
    assert changes(scenario(broken), None) == [("note", "not in the baseline"), failure]
    then = scenario(variant(name="another"), variant())
    assert failure in changes(scenario(variant(), variant(name="new", broken=["p: leaked = 0"])), then)


def test_the_cost_of_discards_on_another_rig_is_no_regression() -> None:
    slow = variant(discard_seconds=100.0)
    kinds = [kind for kind, _ in changes(scenario(slow, rig="emulated"), scenario(variant(), rig="kernel"))]
    assert kinds == ["note"]


def test_more_in_all_than_in_any_round_is_a_leak_though_no_snapshot_lost_more_than_ever() -> None:
    then = variant(leaked_by={"a": 12 * BLOCK, "b": 12 * BLOCK})
    now = variant(most_leaked=13 * BLOCK, leaked_by={"a": 12 * BLOCK, "b": BLOCK})
    ((kind, text),) = changes(scenario(now), scenario(then))
    assert kind == ChangeKind.LEAK
    assert text.endswith(f"{BLOCK} bytes more (no snapshot leaked more than in some earlier round)")


def test_another_kernel_and_a_new_tool_are_reported() -> None:
    now = {"thinsim": "1", "kernel": "Linux 6.12", "blkdiscard": "2.41"}
    assert differing_environment(now, now) == []
    assert differing_environment(now, {"thinsim": "1", "kernel": "Linux 6.1", "loop": "yes"}) == [
        "kernel: Linux 6.12, in the baseline Linux 6.1",
        "blkdiscard: 2.41, in the baseline none",
        "loop: none, in the baseline yes",
    ]


def test_the_summary_names_the_tolerance_and_the_differences() -> None:
    same = [compare_with_baseline(scenario(variant()), scenario(variant()), tolerance=1.5)]
    assert "Leaks are compared to the byte; discard costs" in markdown(same, tolerance=1.5)
    text = markdown(same, tolerance=1.5, leak_tolerance=1 << 20, differences=["kernel: 2, 1 then"])
    assert "to the byte where nothing leaked, else with a tolerance of 1 MiB; discard costs" in text
    assert "\n\n- environment: kernel: 2, 1 then\n" in text


def test_the_summary_has_one_row_per_variant_and_every_change() -> None:
    now = scenario(variant(most_leaked=13 * BLOCK, leaked_by={"a|b": 13 * BLOCK}))
    text = markdown([compare_with_baseline(now, scenario(variant()), tolerance=1.5)], tolerance=1.5)
    assert text.startswith("### thinsim: 1 regression\n")
    assert "| s | v | process | 832 KiB | 768 KiB | 1.00 | leak |" in text
    assert "- **leak**: s / v: " in text
    assert "a\\|b" in text


def test_a_file_that_is_no_baseline_is_named() -> None:
    stored = Baseline(environment={}, scenarios=[scenario(variant())])
    assert read_baseline(stored.model_dump_json(), "b.json") == stored
    for text in ("", "{}", stored.model_dump_json().replace("most_leaked", "leaked")):
        with pytest.raises(InvalidValueError, match=r"b\.json is not a thinsim baseline: "):
            read_baseline(text, "b.json")


@pytest.mark.parametrize(
    ("whole", "damaged", "place"),
    [
        ('"machine_seconds":0.002', '"machine_seconds":0', "scenarios.0.machine_seconds"),
        ('"machine_seconds":0.002', '"machine_seconds":NaN', "scenarios.0.machine_seconds"),
        ('"discard_seconds":1.0', '"discard_seconds":-1.0', "scenarios.0.variants.0.discard_seconds"),
        ('"most_leaked":786432', '"most_leaked":-1', "scenarios.0.variants.0.most_leaked"),
    ],
)
def test_a_number_that_nothing_can_be_compared_with_is_named(whole: str, damaged: str, place: str) -> None:
    stored = Baseline(environment={}, scenarios=[scenario(variant())]).model_dump_json()
    assert whole in stored
    with pytest.raises(InvalidValueError, match=rf"b\.json is not a thinsim baseline: {place}: "):
        read_baseline(stored.replace(whole, damaged), "b.json")


def test_a_baseline_of_nothing_does_not_pass_for_one() -> None:
    for text in (
        '{"environment":{},"scenarios":[]}',
        Baseline(environment={}, scenarios=[scenario(variant())]).model_dump_json().split('"variants"')[0]
        + '"variants":[]}]}',
    ):
        with pytest.raises(InvalidValueError, match=r"should have at least 1 item"):
            read_baseline(text, "b.json")
