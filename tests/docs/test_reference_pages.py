"""The generated reference has every section, a meaning for every key, and each document as printed."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NotRequired, get_args, get_origin

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

import fuse_backing.faults
import thinsim.conformance.answers
from fuse_backing.cli import cli
from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import Fault, FaultKind
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from tests.cli.command_tree import every_command
from tests.repository import REPOSITORY
from tests.thin.ram_pool import RamPool
from thinsim.cli.main import commands
from thinsim.machine.sockets import RUNTIME_VARIABLE
from thinsim.machine.state import STATE_VARIABLE, state_directory
from thinsim.scenario.file.document import Scenario
from thinsim.scenario.file.loading import parse
from thinsim.scenario.file.steps.registry import STEPS
from thinsim.snapshotter.config import FIXED, Config
from tools.reference_pages.files import places
from tools.reference_pages.json_documents import DOCUMENTS, PROGRAMS, JsonDocument
from tools.reference_pages.keys import REQUIRED, TypeWords, is_object, keys_of, objects_below
from tools.reference_pages.sections import SECTIONS, sections_of, with_sections
from tools.reference_pages.store_protocol import OBJECTS

RECORDED = Path(thinsim.conformance.answers.__file__).parent / "recorded"
PAGES = sorted((REPOSITORY / "docs" / "reference").glob("*.md"))
KINDS = {kind for each in DOCUMENTS for kind in objects_below(each.kind)} | {Fault, *OBJECTS}
TABLES = {Scenario, *STEPS.values()}


def test_each_section_is_on_a_page_and_each_page_names_known_sections() -> None:
    named = [name for page in PAGES for name in sections_of(page.read_text())]
    assert set(named) == set(SECTIONS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_with_its_sections_has_no_fence_left(page: Path) -> None:
    text = with_sections(page.read_text())
    assert "{generated}" not in text
    assert all(line.count("|") >= 3 for line in text.splitlines() if line.startswith("| "))


@pytest.mark.parametrize("kind", sorted(KINDS | TABLES, key=lambda kind: kind.__name__))
def test_every_key_has_a_meaning(kind: type) -> None:
    for each in objects_below(kind):
        assert [key.name for key in keys_of(each) if not key.meaning and key.name != "do"] == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NotRequired[int], "integer"),
        (FaultKind | None, "`error`, `delay`, `partial`, `lie`, `full`, `crash`, `throttle` or null"),
        (int | Literal["always"], "integer or `always`"),
        (dict[str, str | bool | int], "object of text, boolean or integer by name"),
    ],
)
def test_a_type_is_written_as_one_list_of_choices(kind: Any, words: str) -> None:
    assert TypeWords(lambda each: each.__name__).of(kind) == words


def test_every_key_of_the_scenarios_schema_is_in_the_reference() -> None:
    text = "".join(SECTIONS[name]() for name in ("scenario-tables", "scenario-steps", "scenario-limits"))

    def names(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            schema = list(schema.values())
        if isinstance(schema, list):
            for each in schema:
                yield from names(each)

    assert [name for name in set(names(Scenario.model_json_schema())) if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each.schema], ids=lambda each: each.title)
def test_a_document_has_the_keys_of_its_schema(document: JsonDocument) -> None:
    schema = TypeAdapter(document.kind).json_schema(mode="serialization")
    assert [key.name for key in keys_of(document.kind)] == list(schema["properties"])
    printed = CliRunner().invoke(commands, document.schema.split()[1:]).output
    assert list(json.loads(printed)["properties"]) == list(schema["properties"])


def test_every_command_that_writes_json_is_listed_and_no_other() -> None:
    found = {
        words
        for name, program in PROGRAMS.items()
        for words, command in every_command(program, name)
        if any("--json" in parameter.opts for parameter in command.params)
    }
    listed = {words for each in DOCUMENTS for words in each.written_by}
    without_the_option = {"thinsim baseline save", "fuse-backing mount"}
    assert listed - without_the_option == found


def mismatches(value: Any, kind: Any, where: str = "") -> Iterator[str]:
    """Yield the places where a JSON value does not have the shape of *kind*."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from mismatches(value, arguments[0], where)
    elif is_object(kind):
        keys = {key.name: key for key in keys_of(kind)}
        yield from (f"{where}.{name} is not in {kind.__name__}" for name in value if name not in keys)
        for name, key in keys.items():
            if name in value:
                yield from mismatches(value[name], key.type, f"{where}.{name}")
            elif key.default is REQUIRED:
                yield f"{where}.{name} is missing"
    elif NoneType in arguments and value is not None:
        (other,) = (each for each in arguments if each is not NoneType)
        yield from mismatches(value, other, where)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        for name, each in value.items():
            yield from mismatches(each, arguments[1], f"{where}.{name}")
    elif isinstance(origin, type) and issubclass(origin, Collection):
        for each in value:
            yield from mismatches(each, arguments[0], f"{where}[]")


def test_a_key_that_is_missing_or_unknown_is_a_mismatch() -> None:
    kind = next(each.kind for each in DOCUMENTS if each.written_by == ("thinsim dm status",))
    assert list(mismatches({"running": True, "more": 1}, kind)) == [
        ".more is not in DeviceMapperState",
        ".devices is missing",
        ".data_planes is missing",
        ".transport is missing",
    ]


def written_by(words: str) -> JsonDocument:
    return next(each for each in DOCUMENTS if words in each.written_by)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("thinsim run", "container-exit --rig process --json -"),
        ("thinsim reproduce", "--rig process --setting on --json -"),
        ("thinsim scenarios list", "--json"),
        ("thinsim scenarios check", "churn --json"),
        ("thinsim dm status", "--json"),
        ("thinsim doctor", "--json"),
        ("thinsim pool list", "--json"),
        ("thinsim heights", f"{REPOSITORY} --json"),
        ("thinsim conformance check", f"{RECORDED / 'linux-6.1.jsonl.xz'} --only names --json"),
        ("thinsim snapshotter leaks", "--fault A --rig process --json"),
        ("thinsim snapshotter crashes", "--operation cleanup --profile fixed --rig process --json -"),
    ],
)
def test_a_command_prints_a_document_of_the_listed_shape(
    words: str, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    document = written_by(words)
    printed = json.loads(CliRunner().invoke(commands, [*words.split()[1:], *more.split()]).stdout)
    objects = printed if document.form == "an array of objects" else [printed]
    assert [found for each in objects for found in mismatches(each, document.kind)] == []


def store_says(words: str, *more: str) -> list[Any]:
    """Return the JSON lines that a command of fuse-backing prints."""
    done = CliRunner().invoke(cli, [*words.split()[1:], "--json", *more])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.rig
def test_a_store_is_described_in_the_listed_shapes(tmp_path: Path) -> None:
    files, store = tmp_path / "files", tmp_path / "store"
    files.mkdir()
    store.mkdir()
    program = [sys.executable, "-m", "fuse_backing"]
    subprocess.run([*program, "mount", files, store], check=True, timeout=60, capture_output=True)
    try:
        with (store / "disk").open("wb") as disk:
            disk.write(b"\xa5" * (1 << 20))
            disk.flush()
            fallocate(disk.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536)
        plan = tmp_path / "plan.toml"
        plan.write_text('[[fault]]\noperation = "zero"\naction = "lie"\n')
        CliRunner().invoke(cli, ["faults", "set", str(store), str(plan)])
        for words, more in {
            "fuse-backing stats": (store,),
            "fuse-backing latency": (store,),
            "fuse-backing events": (store,),
            "fuse-backing histogram": (store, "--file", "disk"),
            "fuse-backing map": (store / "disk",),
            "fuse-backing faults show": (store,),
        }.items():
            document = written_by(words)
            (printed,) = store_says(words, *map(str, more))
            (value,) = printed if document.form == "an array of objects" else [printed]
            assert list(mismatches(value, document.kind)) == []
    finally:
        subprocess.run([*program, "unmount", store], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_metadata_is_printed_in_the_listed_shape(verb: str, tmp_path: Path) -> None:
    ram = RamPool()
    ram.write_blocks(ram.thin(1), 0, 5)
    ram.pool.metadata.increment(40, 41)  # a block that is counted and not used: a problem
    ram.commit()
    file = ram.metadata.save(tmp_path / "metadata")
    document = json.loads(CliRunner().invoke(commands, ["metadata", verb, "--json", str(file)]).stdout)
    assert list(mismatches(document, written_by(f"thinsim metadata {verb}").kind)) == []


def test_the_manual_page_names_the_directories_that_the_code_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STATE_VARIABLE, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert f"`{state_directory()}`" in places("thinsim")
    assert f"`{RUNTIME_VARIABLE}`" in places("thinsim")


def table_below(page: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading, by their first cell."""
    lines = (REPOSITORY / "docs" / page).read_text().split(f"\n## {heading}\n")[1].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| "))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return {row[0]: row[1:] for row in rows}


def test_the_settings_of_the_snapshotter_are_those_of_the_code() -> None:
    page = "reference/snapshotter-config.md"
    containerds, ours = table_below(page, "Keys of containerd"), table_below(page, "Keys of thinsim")
    keys = {key.name: key for key in keys_of(Config)}
    assert set(containerds) | set(ours) == {*keys, "profile"}
    for name, key in keys.items():
        shown = containerds[name][0] if name in containerds else ours[name][0]
        default = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
        assert shown == {"": "", "0.0": "0"}.get(default, default) or key.default is REQUIRED
    fixed = {name: str(value).lower() if isinstance(value, bool) else value for name, value in FIXED.items()}
    assert {name: cells[1] for name, cells in ours.items() if cells[1]} | {"discard_blocks": "true"} == fixed


def test_the_actions_of_faults_need_and_strike_what_the_page_states() -> None:
    text = (
        (REPOSITORY / "docs/reference/store-protocol.md")
        .read_text()
        .split("| `action` |")[1]
        .split("\n\n")[0]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    shown = {action.strip("`"): (re.findall("`([a-z_]+)`", needs), names) for action, needs, names, _ in rows}
    assert set(shown) == set(FaultKind)
    values = {"errno": "EIO", "seconds": 1, "bytes": 4096, "operations_per_second": 10}
    for action, (needs, names) in shown.items():
        given = needs[-1:]  # one of several is enough
        entry = {"action": action, **{key: values[key] for key in given}}
        for operation in [*fuse_backing.faults.STRUCK, "any"]:
            struck = names == "all" or f"`{operation}`" in names
            try:
                Fault.from_json({**entry, "operation": str(operation)}, "fault")
            except FaultPlanError:
                assert not struck, (action, operation)
            else:
                assert struck, (action, operation)
        for key in needs:
            with pytest.raises(FaultPlanError, match=key):
                Fault.from_json(
                    {"action": action, "operation": "write" if action == "full" else "punch"}, "fault"
                )


def test_the_example_of_the_snapshotters_settings_is_valid() -> None:
    text = (REPOSITORY / "docs/reference/snapshotter-config.md").read_text()
    assert Config.from_table(tomllib.loads(text.split("```toml\n")[1].split("```")[0])).require_passdown


def test_the_commented_example_of_scenario_files_is_valid() -> None:
    text = (REPOSITORY / "docs/reference/scenario-file.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    assert [variant.name for variant in parse(example, "example").variants] == ["off", "on"]
