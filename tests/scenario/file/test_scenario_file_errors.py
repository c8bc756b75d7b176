"""A malformed scenario file gets one error with every problem, each with its line and its key."""

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from thinsim.rig.registry import AUTO, rig_names
from thinsim.scenario.file.complaints import problem
from thinsim.scenario.file.document import Retry, Scenario, ScenarioPhase, ScenarioPool, Variant
from thinsim.scenario.file.loading import InvalidScenarioError, load, parse
from thinsim.scenario.file.location import line_of
from thinsim.scenario.file.steps.registry import STEPS
from thinsim.scenario.file.values import AmountLimits

HEAD = 'title = "t"\n'
QUOTED_RIGS = " or ".join(", ".join(map(repr, (AUTO, *rig_names()))).rsplit(", ", 1))
PHASE = '[[phase]]\nname = "one"\nsteps = [\n{steps}\n]\n'


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidScenarioError) as caught:
        parse(text, "f.toml")
    return list(caught.value.problems)


def with_steps(*steps: str) -> str:
    return HEAD + PHASE.format(steps=",\n".join(f"  {{ {step} }}" for step in steps))


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ('do = "jump"', "phase[1].steps[2].do: step 'jump' does not exist"),
        ('key = "a"', "phase[1].steps[2].do: is missing: it names the kind of the step"),
        ('do = "remove"', "phase[1].steps[2].key: is missing"),
        ('do = "remove", kee = "a", key = "a"', "phase[1].steps[2].kee: unknown key; did you mean key?"),
        ('do = "write", key = "a", size = "1 parsec"', "phase[1].steps[2].size: invalid size: '1 parsec'"),
        ('do = "write", key = "a", size = -1', "phase[1].steps[2].size: a size is a whole number of bytes"),
        ('do = "write", key = 3, size = 1', "phase[1].steps[2].key: must be a string, not 3"),
        ('do = "import", layers = 2', "phase[1].steps[2]: an import has either an image or a size"),
        ('do = "remove", key = "a", fails = "EWHAT"', "phase[1].steps[2].fails: 'EWHAT' is no error"),
        ('do = "remove", key = "a", only = "b"', "phase[1].steps[2].only: variant 'b' does not exist"),
        ('do = "assert"', "phase[1].steps[2]: asserts nothing"),
        ('do = "delete", key = "a", name = "/etc"', "phase[1].steps[2].name: '/etc' is no name of a file"),
        ('do = "delete", key = "a", name = ".."', "phase[1].steps[2].name: '..' is no name of a file"),
        ('do = "write", key = "a", size = 1, name = "../x"', "phase[1].steps[2].name: '../x' is no name"),
        ('do = "overwrite", key = "a", size = 1, name = "a/b"', "phase[1].steps[2].name: 'a/b' is no name"),
        ('do = "import", size = 1, name = "/x"', "phase[1].steps[2].name: '/x' is no name of a file"),
        (
            'do = "assert", leaked = { same_as = "two" }',
            "phase[1].steps[2].leaked.same_as: earlier phase 'two' does not exist",
        ),
        ('do = "assert", reasons = ["moon"]', "phase[1].steps[2].reasons: reason 'moon' does not exist"),
        (
            'do = "fault", plan = [{ operation = "write", action = "lie" }]',
            "phase[1].steps[2].plan[1]: action 'lie' is for punch and zero and fsync, not for 'write'",
        ),
        (
            'do = "crash", during = "remove", key = "a", when = "before", at = "noon"',
            "phase[1].steps[2].at: must be 'mkfs'",
        ),
    ],
)
def test_a_problem_of_a_step_is_reported_with_its_line_and_key(step: str, complaint: str) -> None:
    (problem,) = problems(with_steps('do = "prepare", key = "a"', step))
    assert problem.startswith(f"f.toml:6: {complaint}"), problem


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("pool", "low_water_blocks = -1", "must be 0 or more, not -1"),
        (
            "pool",
            f"low_water_blocks = {1 << 64}",
            "must be 18446744073709551615 or less, not 18446744073709551616",
        ),
        ("pool", "low_water_blocks = 1.5", "must be a whole number, not 1.5"),
        ("pool", 'features = ["skip_zeroing"]', "must be 'skip_block_zeroing', 'ignore_discard', "),
        ("pool", 'features = "read_only"', "must be an array, not 'read_only'"),
        ("pool", 'features = ["read_only"]', "a new pool can't be read_only"),
        ("pool", "metadata_size = 512", "an empty pool of 32768 data blocks takes 56 KiB, not 512 B"),
        ("pool", 'data_size = "1.5"', "'1.5' has no unit (write 1.5K, 1.5M or 1.5G)"),
        ("pool", 'data_size = "32KiB"', "32 KiB is not even one data block of 64 KiB"),
        ("pool", 'block_sise = "64KiB"', "unknown key; did you mean block_size?"),
        ("retry", "tries = 0", "must be 1 or more, not 0"),
        ("retry", "tries = true", "must be a whole number, not true"),
        ("retry", "interval = nan", "must be a finite number, not nan"),
        ("retry", "interval = 1979-05-27", "must be a number, not 1979-05-27"),
        ("snapshotter", 'fs_typ = "xfs"', "unknown key 'fs_typ'; did you mean fs_type?"),
    ],
)
def test_an_impossible_value_of_a_table_is_reported_before_anything_starts(
    key: str, value: str, complaint: str
) -> None:
    text = HEAD + f"[{key}]\n{value}\n" + PHASE.format(steps='{ do = "cleanup" }')
    (problem,) = problems(text)
    assert problem.startswith("f.toml:3: ")
    assert complaint in problem


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("phase = []", "phase: must not be empty"),
        (
            '[phase]\nname = "one"',
            "phase: must be an array of tables: write [[phase]], not [phase]",
        ),
        ("[[pool]]", "pool: must be a table: write [pool], not [[pool]]"),
        ("[[phase]]\nname = ''\nsteps = [{ do = 'cleanup' }]", "phase[1].name: must not be empty"),
        ("[[phase]]\nname = 'one'\nsteps = []", "phase[1].steps: must not be empty"),
        (
            "[[phase]]\nname = 'one'\nsteps = ['cleanup']",
            "phase[1].steps[1]: must be a table such as { do",
        ),
        ("[[phase]]\nname = 'one'\nstep = []", "phase[1].step: unknown key; did you mean steps?"),
        ("phase = 'one'", "phase: must be an array, not 'one'"),
        ("titel = 'x'", "titel: unknown key; did you mean title?"),
        (
            "rig = 'emulate'",
            f"rig: must be {QUOTED_RIGS}, not 'emulate'; did you mean",
        ),
    ],
)
def test_a_mistake_of_shape_is_reported_in_the_words_of_toml(text: str, complaint: str) -> None:
    found = problems(HEAD + text)
    assert any(f": {complaint}" in problem for problem in found), found


_VALUES: tuple[object, ...] = (
    1,
    -1,
    1.5,
    float("nan"),
    "x",
    "",
    True,
    [],
    [1],
    {},
    {"q": 1},
    date(2020, 1, 1),
)
_DOCUMENT = {"title": "t", "phase": [{"name": "p", "steps": [{"do": "cleanup"}]}]}


def wrong_documents() -> Iterator[dict[str, Any]]:
    """Yield a document for every key of every table, with values of every type of TOML."""
    for value in _VALUES:
        yield from ({**_DOCUMENT, key: value} for key in Scenario.model_fields)
        yield from ({**_DOCUMENT, "pool": {key: value}} for key in ScenarioPool.model_fields)
        yield from ({**_DOCUMENT, "retry": {key: value}} for key in Retry.model_fields)
        yield from ({**_DOCUMENT, "variant": [{"name": "v", key: value}]} for key in Variant.model_fields)
        yield {**_DOCUMENT, "variant": [value]}
        yield {**_DOCUMENT, "phase": [value]}
        yield from ({**_DOCUMENT, "phase": [{"name": "p", key: value}]} for key in ScenarioPhase.model_fields)
        steps = [value, *({"do": do, key: value} for do, step in STEPS.items() for key in step.model_fields)]
        steps += [{"do": "assert", "leaked": {key: value}} for key in AmountLimits.model_fields]
        yield from ({**_DOCUMENT, "phase": [{"name": "p", "steps": [step]}]} for step in steps)


def test_no_mistake_of_type_is_reported_in_the_words_of_pydantic() -> None:
    complaints: set[str] = set()
    for document in wrong_documents():
        try:
            Scenario.model_validate(document)
        except ValidationError as error:
            complaints |= {problem(document, each)[1] for each in error.errors(include_url=False)}
    assert len(complaints) > 100
    foreign = re.compile(r"Input|\bvalid\b|List|String|validation|dictionary|extract|discriminator|None")
    assert [text for text in sorted(complaints) if foreign.search(text)] == []


def test_a_mistake_of_an_unknown_kind_is_reported_all_the_same() -> None:
    error = {"loc": ("title",), "type": "string_unsuitable", "input": "t", "msg": "Value is unsuitable"}
    assert problem({"title": "t"}, error) == (["title"], "Value is unsuitable")


def test_mistakes_of_shape_hide_none_of_meaning_and_all_are_in_order_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text(
        HEAD
        + 'rgi = "auto"\n[snapshotter]\nfs_type = "zfs"\n[[phase]]\nname = "one"\nsteps = [\n'
        + '{ do = "jump" },\n{ do = "import", image = "app.tar" },\n{ do = "assert" },\n]\n'
    )
    with pytest.raises(InvalidScenarioError) as caught:
        load(file)
    assert [text.removeprefix(f"{file}:").split(": ")[0:2] for text in caught.value.problems] == [
        ["2", "rgi"],
        ["4", "snapshotter.fs_type"],
        ["8", "phase[1].steps[1].do"],
        ["9", "phase[1].steps[2].image"],
        ["10", "phase[1].steps[3]"],
    ]
    assert f"{tmp_path / 'app.tar'} does not exist" in caught.value.problems[3]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("title = \n", 1, "not valid TOML: Invalid value"),
        ("a = 1\ntitle = [", 2, "not valid TOML"),
        (HEAD, 1, "phase: is missing"),
        (HEAD + "[pool]\nblock_size = 4096\n" + PHASE, 3, "pool.block_size: a data block is a multiple of"),
        (HEAD + "[pool]\ndata_size = 1000\n" + PHASE, 3, "pool.data_size: must be a multiple of 512 above 0"),
        (HEAD + "[snapshotter]\npool_name = 'x'\n" + PHASE, 3, "snapshotter.pool_name: is chosen by the run"),
        (HEAD + "[snapshotter]\n\nfs_type = 'zfs'\n" + PHASE, 4, "snapshotter.fs_type: fs_type must be one"),
        (
            HEAD + "[[variant]]\nname = 'v'\n[variant.snapshotter]\nnope = 1\n" + PHASE,
            5,
            "variant[1].snapshotter.nope: unknown key 'nope'",
        ),
        (HEAD + PHASE + PHASE, 8, "phase[2].name: there is a phase 'one' already"),
        (HEAD + "format = 2\n" + PHASE, 2, "format: must be 1, not 2"),
    ],
)
def test_a_problem_elsewhere_is_reported_with_its_line_and_key(text: str, line: int, complaint: str) -> None:
    (problem,) = problems(text.replace("{steps}", '{ do = "cleanup" }'))
    assert problem.startswith(f"f.toml:{line}: {complaint}"), problem


def test_all_problems_are_reported_at_once() -> None:
    found = problems(with_steps('do = "jump"', 'do = "remove"', 'do = "write", key = "a", size = "x"'))
    assert [problem.split(": ")[0] for problem in found] == ["f.toml:5", "f.toml:6", "f.toml:7"]


def test_every_image_of_a_repeated_import_must_exist(tmp_path: Path) -> None:
    (tmp_path / "app-1.tar").touch()
    file = tmp_path / "f.toml"
    file.write_text(
        HEAD
        + '[[phase]]\nname = "one"\nrepeat = 3\nsteps = [\n'
        + '{ do = "import", name = "app-{n}", image = "app-{n}.tar" },\n]\n'
    )
    with pytest.raises(InvalidScenarioError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem == f"{file}:6: phase[1].steps[1].image: {tmp_path / 'app-2.tar'} does not exist"
    for number in (2, 3):
        (tmp_path / f"app-{number}.tar").touch()
    load(file)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenarioError, match=r"nowhere\.toml: No such file or directory"):
        load(tmp_path / "nowhere.toml")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["table", "array"]),
            st.lists(
                st.sampled_from(["1", '"x"', "[1,\n 2,\n 3]", '"""a\n\nb"""', "{ q = 1 }", "[]\n# c\n"])
            ),
        ),
        max_size=5,
    )
)
def test_the_line_of_every_key_is_found(tables: list[tuple[str, list[str]]]) -> None:
    lines: list[str] = []
    wanted: dict[tuple[str | int, ...], int] = {}
    arrays = 0
    for number, (kind, values) in enumerate(tables):
        place: tuple[str | int, ...]
        if kind == "table":
            place = (f"t{number}",)
            lines.append(f"[t{number}]")
        else:
            place = ("a", arrays)
            arrays += 1
            lines.append("[[a]]")
        wanted[place] = len(lines)
        for position, value in enumerate(values):
            wanted[(*place, f"k{position}")] = len(lines) + 1
            lines += f"k{position} = {value}".split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)
    for path, line in wanted.items():
        assert line_of(text, path) == line, (path, text)


def test_an_entry_of_a_list_over_several_lines_has_its_own_line() -> None:
    text = "steps = [\n  { a = 1 },\n\n  # note\n  { a = 2, b = [\n    1 ] },\n]\nc = 1\n"
    assert line_of(text, ("steps", 0, "a")) == 2
    assert line_of(text, ("steps", 1, "b")) == 5
    assert line_of(text, ("steps", 1, "missing")) == 5
    assert line_of(text, ("c",)) == 8


@pytest.mark.parametrize("interval", ["-1", "nan", "inf"])
def test_an_interval_that_nobody_can_wait_for_is_reported_with_its_line(interval: str) -> None:
    text = HEAD + f"[retry]\ninterval = {interval}\n" + PHASE.format(steps='  { do = "prepare", key = "a" }')
    (problem,) = problems(text)
    assert problem.startswith("f.toml:3: retry.interval: must be ")
