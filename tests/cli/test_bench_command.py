"""``thinsim bench`` and ``thinsim compare`` run as programs on the rig that needs no root."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.command_lines import Thinsim, as_process


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bench")
    done = as_process(
        *("bench", "--contender", "process/core/off", "--contender", "process/core/on"),
        *("--rounds", "1", "--warm-up", "0", "--dir", directory),
        *("--json", directory / "bench.json", "--plot", directory / "bench.svg"),
    )
    assert done.returncode == 0, done.stderr
    assert "process/core/off" in done.stdout
    assert "freed by removals, MiB/s" in done.stdout
    assert "[2/2] round 1, process/core/on" in done.stderr
    assert "<svg" in (directory / "bench.svg").read_text()
    assert sorted(path.name for path in directory.iterdir()) == ["bench.json", "bench.svg"]
    return directory / "bench.json"


def test_every_row_has_one_figure_per_round_and_discards_only_if_there_are_any(measured: Path) -> None:
    found = json.loads(measured.read_text())
    assert {len(series["figures"]) for series in found["series"]} == {1}
    punches = {
        each["contender"]: each["figures"] for each in found["series"] if each["row"] == "hole punches"
    }
    assert {"peak memory, thinsim", "read by thinsim", "written by thinsim"} <= {
        each["row"] for each in found["series"]
    }
    assert punches["process/core/off"] == [0]
    assert punches["process/core/on"][0] > 0


def test_a_benchmark_compared_with_itself_does_not_differ(thinsim: Thinsim, measured: Path) -> None:
    done = thinsim("compare", measured, measured, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["format"], found["environments_differ"]) == ("thinsim compare", 1, [])
    ratios = [each["ratio"]["median"] for each in found["compared"] if each["ratio"]]
    assert set(ratios) == {1.0}
    assert "no difference seen" in thinsim("compare", measured, measured).stdout


def test_both_documents_match_their_schemas(thinsim: Thinsim, measured: Path) -> None:
    written = json.loads(measured.read_text())
    compared = json.loads(thinsim("compare", measured, measured, "--json", "-").stdout)
    for command, document, field in (("bench", written, "rounds"), ("compare", compared, "compared")):
        schema = json.loads(thinsim(command, "--schema").stdout)
        jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, field: "none"}, schema)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("bench", "--contender", "process/containerd/on"), "containerd needs a rig with devices"),
        (
            ("bench", "--contender", "vm/core/on"),
            "thinsim vm run --share . -- thinsim bench --contender kernel/core/on",
        ),
        (
            ("bench", "--contender", "process/core/on", "--container-mb", "10"),
            "plays a recorded image and container of 100 MiB each",
        ),
        (("bench", "--plot", "ratios.gif"), "the name of the file must end in .svg, .png, .pdf"),
        (("compare", "/dev/null", "/dev/null"), "is not a result of thinsim bench"),
    ],
)
def test_an_impossible_measurement_or_comparison_is_refused(
    thinsim: Thinsim, words: tuple[str, ...], complaint: str
) -> None:
    done = thinsim(*words)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("bench", "--contender", "process/core"), "a contender is RIG/SUBJECT/SETTING"),
        (
            ("bench", "--contender", "moon/core/on"),
            "rig 'moon' does not exist; there are: kernel, emulated, process",
        ),
        (("compare", "/nonexistent", "/nonexistent"), "File '/nonexistent' does not exist"),
    ],
)
def test_an_unknown_name_is_a_wrong_command_line(
    thinsim: Thinsim, words: tuple[str, ...], complaint: str
) -> None:
    done = thinsim(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
