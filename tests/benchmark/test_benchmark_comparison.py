"""Series are compared, documents are read, and contenders and sizes are parsed."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.benchmark.comparison import between, compare_benchmarks, differing_circumstances, within
from thinsim.benchmark.contenders import Sizes, all_together, parse_contender, steps_up
from thinsim.benchmark.document import Benchmark, RoundLoad, Series
from thinsim.benchmark.verdicts import Verdict
from thinsim.errors import InvalidValueError
from thinsim.measure.machine_load import NO_LOAD, MachineLoad
from thinsim.scenario.reproduce import SUBJECTS
from thinsim.units import Bytes

SIZES = "pool 2 GiB, image 1 MiB, container 1 MiB"


def series(contender: str, figures: list[float | None], *, more: bool = False, row: str = "run") -> Series:
    return Series(row=row, unit="s", more_is_better=more, contender=contender, sizes=SIZES, figures=figures)


def document(*found: Series, **environment: str) -> Benchmark:
    return Benchmark(
        kind="thinsim bench",
        format=1,
        command="thinsim bench",
        environment=environment,
        rounds=len(found[0].figures),
        warm_up=1,
        contenders=list(dict.fromkeys(each.contender for each in found)),
        sizes=[SIZES],
        series=list(found),
    )


def test_within_a_document_a_ratio_is_of_the_same_rounds() -> None:
    # The machine gets slower with each round, but the ratio of each round is 2.
    slower = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    measured = document(series("a", list(slower)), series("b", [2 * each for each in slower]))
    first, second = within(measured)
    assert (first.ratio and first.ratio.median, first.verdict) == (1, Verdict.SAME)
    assert second.ratio is not None
    assert (second.ratio.low, second.ratio.median, second.ratio.high) == (2, 2, 2)
    assert second.verdict is Verdict.WORSE


def test_more_is_better_turns_the_verdict() -> None:
    measured = document(series("a", [1.0] * 7, more=True), series("b", [2.0] * 7, more=True))
    assert [each.verdict for each in within(measured)] == [Verdict.SAME, Verdict.BETTER]


def test_between_documents_only_medians_that_lie_apart_differ() -> None:
    before = document(series("a", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]))
    noisy = document(series("a", [0.9, 1.1, 1.3, 1.4, 1.6, 1.7]))
    twice = document(series("a", [2.0, 2.2, 2.4, 2.6, 2.8, 3.0]))
    assert [each.verdict for each in between(before, noisy)] == [Verdict.TOO_FEW]
    nearly = document(series("a", [0.9, 1.1, 1.28, 1.3, 1.6, 1.7]))
    assert [each.verdict for each in between(before, nearly)] == [Verdict.SAME]
    (found,) = between(before, twice)
    assert found.verdict is Verdict.WORSE
    assert found.ratio is not None
    assert found.ratio.median == pytest.approx(2)
    assert (found.ratio.low, found.ratio.high) == (pytest.approx(2 / 1.5), pytest.approx(3))


def test_what_one_does_not_have_is_not_compared() -> None:
    before = document(series("a", [1.0] * 6), series("a", [None] * 6, row="other"))
    after = document(series("a", [1.0] * 5 + [None]), series("a", [1.0] * 6, row="other"))
    assert [each.verdict for each in between(before, after)] == [Verdict.ONE_SIDED] * 2
    other = document(series("b", [1.0] * 6))
    assert between(before, other) == []
    found = compare_benchmarks(before, other)
    assert (found.only_first, found.only_second) == ([f"a, {SIZES}"], [f"b, {SIZES}"])


@pytest.mark.parametrize(
    ("rounds", "inside", "across"),
    [
        (1, Verdict.TOO_FEW, Verdict.TOO_FEW),
        (4, Verdict.TOO_FEW, Verdict.TOO_FEW),
        (5, Verdict.TOO_FEW, Verdict.WORSE),
        (6, Verdict.TOO_FEW, Verdict.WORSE),
        (7, Verdict.WORSE, Verdict.WORSE),
    ],
)
def test_few_rounds_call_nothing_better_or_worse(rounds: int, inside: Verdict, across: Verdict) -> None:
    fast, slow = [1.0] * rounds, [9.0] * rounds
    _, found = within(document(series("a", list(fast)), series("b", list(slow))))
    assert found.verdict is inside
    (between_two,) = between(document(series("a", list(fast))), document(series("a", list(slow))))
    assert between_two.verdict is across
    (equal,) = between(document(series("a", list(fast))), document(series("a", list(fast))))
    assert equal.verdict is Verdict.SAME


def test_nothing_against_nothing_is_the_same_and_something_against_it_has_no_ratio() -> None:
    nothing = document(series("a", [0.0] * 6))
    some = document(series("a", [3.0] * 6))
    assert [each.verdict for each in between(nothing, nothing)] == [Verdict.SAME]
    once = document(series("a", [0.0]))
    assert [each.verdict for each in between(nothing, once)] == [Verdict.SAME]
    assert [each.verdict for each in between(nothing, some)] == [Verdict.FROM_NOTHING]
    neither = document(series("a", [None] * 6))
    assert between(neither, neither) == []


def test_a_change_below_the_least_effect_is_no_difference_however_certain() -> None:
    before = document(series("a", [1.0] * 10), series("b", [1.04] * 10))
    after = document(series("a", [1.04] * 10))
    assert [each.verdict for each in between(before, after)] == [Verdict.SAME]
    assert [each.verdict for each in within(before)] == [Verdict.SAME] * 2
    assert [each.verdict for each in between(before, after, 0.03)] == [Verdict.WORSE]
    assert [each.verdict for each in within(before, 0.03)] == [Verdict.SAME, Verdict.WORSE]


def test_a_verdict_takes_the_number_of_rows_into_account() -> None:
    noise = random.Random(1)

    def row(name: str, shift: float) -> tuple[Series, Series]:
        figures: list[float | None] = [math.exp(noise.gauss(shift, 0.2)) for _ in range(10)]
        return series("a", [1.0] * 10, row=name), series("b", figures, row=name)

    changed = row("changed", 0.27)
    (alone,) = [each for each in within(document(*changed)) if each.contender == "b"]
    assert alone.verdict is Verdict.WORSE
    many = document(*changed, *(each for number in range(60) for each in row(f"row {number}", 0)))
    first, *rest = (each for each in within(many) if each.contender == "b")
    assert first.verdict is Verdict.TOO_FEW
    assert first.chance is not None
    assert alone.chance is not None
    assert first.chance > alone.chance
    assert {each.verdict for each in rest} <= {Verdict.SAME, Verdict.TOO_FEW}


def test_zero_in_all_rounds_is_better_than_some() -> None:
    some, nothing = document(series("a", [3.0] * 6)), document(series("a", [0.0] * 6))
    (found,) = between(some, nothing)
    assert (found.ratio and found.ratio.median, found.verdict) == (0, Verdict.BETTER)


def test_other_processors_allow_no_verdict_and_other_conditions_are_named() -> None:
    before = document(series("a", [1.0] * 6), processor="fast", kernel="6.1", thinsim="1")
    slow = document(series("a", [2.0] * 6), processor="slow", kernel="6.1", thinsim="1")
    found = compare_benchmarks(before, slow)
    assert [each.verdict for each in found.compared] == [Verdict.OTHER_MACHINE]
    assert found.conditions_differ == ["processor: fast against slow"]
    newer = document(series("a", [2.0] * 6), processor="fast", kernel="6.12", thinsim="2")
    found = compare_benchmarks(before, newer)
    assert [each.verdict for each in found.compared] == [Verdict.WORSE]
    assert found.conditions_differ == ["kernel: 6.1 against 6.12"]


def test_other_programs_during_a_run_allow_no_verdict_but_on_counts() -> None:
    def measured(figure: float, others: float) -> Benchmark:
        load = replace(NO_LOAD, seconds=10, others=others, cpu_pressure=others)
        return with_loads(
            document(
                series("a", [figure] * 6),
                series("a", [figure] * 6, row="hole punches").model_copy(update={"unit": "MiB"}),
            ),
            [load] * 6,
        )

    found = compare_benchmarks(measured(1, 0), measured(2, 0.5))
    assert [each.verdict for each in found.compared] == [Verdict.BUSY, Verdict.WORSE]
    assert found.disturbed[0] == (
        "B more than A: other programs kept the processors busy (waited for a processor 50 % of the time) "
        "in most rounds"
    )
    both_busy = compare_benchmarks(measured(1, 0.9), measured(2, 0.8))
    assert [each.verdict for each in both_busy.compared] == [Verdict.BUSY, Verdict.WORSE]
    both_quiet = compare_benchmarks(measured(1, 0.1), measured(2, 0.15))
    assert [each.verdict for each in both_quiet.compared] == [Verdict.WORSE, Verdict.WORSE]


def with_loads(measured: Benchmark, loads: list[MachineLoad]) -> Benchmark:
    numbered = [RoundLoad(round=number, load=load) for number, load in enumerate(loads, 1)]
    return measured.model_copy(update={"loads": numbered})


def test_environments_that_differ_are_named() -> None:
    one = document(series("a", [1.0]), kernel="6.1", python="3.11")
    other = document(series("a", [1.0]), kernel="6.12", python="3.11", libc="2.36")
    assert differing_circumstances(one, other) == ["kernel: 6.1 against 6.12", "libc: - against 2.36"]
    longer = document(series("a", [1.0, 1.0]), kernel="6.1", python="3.11")
    assert differing_circumstances(one, longer) == ["rounds: 1 against 2"]


def test_a_document_is_read_back_and_others_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    written = document(series("a", [1.0, None]), kernel="6.1")
    twice = written.model_copy(update={"series": written.series * 2})
    file.write_text(written.model_dump_json())
    assert Benchmark.read(file) == written
    for text, complaint in {
        "{": "Invalid JSON",
        "{}": "kind: Field required",
        written.model_dump_json().replace("thinsim bench", "other", 1): "kind: Input should be",
        written.model_dump_json().replace('"format":1', '"format":2'): "format: Input should be 1",
        written.model_dump_json().replace("[1.0,null]", "[]"): "series.0.figures",
        written.model_dump_json().replace("[1.0,null]", "[NaN,null]"): "should be a finite number",
        written.model_dump_json().replace("[1.0,null]", "[-1.0,null]"): "greater than or equal to 0",
        written.model_dump_json().replace("[1.0,null]", "[1.0]"): f"run, a, {SIZES}: 1 figures of 2 rounds",
        twice.model_dump_json(): f"run, a, {SIZES}: is there twice",
    }.items():
        file.write_text(text)
        with pytest.raises(InvalidValueError, match="is not a result of thinsim bench") as refused:
            Benchmark.read(file)
        assert complaint in str(refused.value)


def test_a_contender_is_three_words_each_of_those_there_are() -> None:
    found = parse_contender("process/core/on", SUBJECTS)
    assert (found.rig.name, found.subject, found.setting.discard_blocks) == ("process", "core", True)
    assert found.name == "process/core/on"
    for text, complaint in {
        "core/on": "RIG/SUBJECT/SETTING",
        "moon/core/on": "rig 'moon' does not exist; there are: kernel, emulated, process, vm",
        "process/moby/on": "subject 'moby'",
        "process/core/loud": "core: setting 'loud' does not exist; there are: off, on, committed",
    }.items():
        with pytest.raises(InvalidValueError) as refused:
            parse_contender(text, SUBJECTS)
        assert complaint in str(refused.value)


def test_sizes_grow_one_at_a_time() -> None:
    one, two, three = (Bytes(each << 20) for each in (1, 2, 3))
    assert steps_up([three], [one], [one]) == [Sizes(three, one, one)]
    assert steps_up([three], [one, two], [one, three]) == [
        Sizes(three, one, one),
        Sizes(three, two, one),
        Sizes(three, one, three),
    ]


def test_a_matrix_has_every_combination_once() -> None:
    one, two, three = (Bytes(each << 20) for each in (1, 2, 3))
    assert all_together([one, two], [three, three], [one, two]) == [
        Sizes(one, three, one),
        Sizes(one, three, two),
        Sizes(two, three, one),
        Sizes(two, three, two),
    ]
