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
    shown = thinsim("compare", measured, measured).stdout
    assert "no difference seen" in shown
    assert "better" not in shown
    assert "worse" not in shown


def test_a_command_takes_turns_and_is_compared_in_the_rows_that_it_has(
    thinsim: Thinsim, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"bench.{name}" for name in ("json", "csv", "markdown")}
    done = thinsim(
        *("bench", "--contender", "process/core/off", "--command", "short=true", "--dir", tmp_path),
        *("--rounds", "2", "--warm-up", "0", "--percentiles"),
        *(word for name, path in files.items() for word in (f"--{name}", path)),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(files["json"].read_text())
    assert found["contenders"] == ["process/core/off", "short"]
    rows = {
        each["row"]
        for each in found["series"]
        if each["contender"] == "short" and None not in each["figures"]
    }
    assert rows == {
        "total time",
        "processor time, all processes",
        "in user mode, all processes",
        "in the kernel, all processes",
        "peak memory, command",
    }
    totals = {each["contender"]: each["figures"] for each in found["series"] if each["row"] == "total time"}
    assert max(totals["short"]) < min(totals["process/core/off"])
    assert {each["step"] for each in found["steps"]} >= {"prepare a snapshot", "commit a snapshot"}
    assert [each["round"] for each in found["loads"]] == [1, 2]
    assert "single steps of process/core/off, ms" in done.stdout
    assert "A verdict needs at least 7 rounds" in done.stdout
    assert "2 runs of about" in done.stderr
    assert " s left\n" in done.stderr
    assert files["csv"].read_text().startswith("row,unit,more_is_better,contender,sizes,round,figure\n")
    assert "| total time, s |" in files["markdown"].read_text()


def test_prepare_runs_before_each_run_and_finds_the_contender(thinsim: Thinsim, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    done = thinsim(
        *("bench", "--command", "one=true", "--command", "two=true", "--rounds", "2", "--warm-up", "1"),
        *("--prepare", f'echo "$THINSIM_BENCH_CONTENDER $THINSIM_BENCH_DATA_SIZE" >> {seen}'),
        *("--dir", tmp_path, "--csv", "-"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("total time,s,false,") == 4
    lines = seen.read_text().splitlines()
    assert sorted(lines) == [f"one {2 << 30}"] * 3 + [f"two {2 << 30}"] * 3
    assert lines[:4] != sorted(lines)[:4]  # in turn


def test_a_prepare_and_a_command_that_fail_name_themselves(thinsim: Thinsim, tmp_path: Path) -> None:
    count, written = tmp_path / "count", tmp_path / "bench.json"
    once = f"echo >> {count}; test $(wc -l < {count}) = 1 || {{ echo no room >&2; exit 4; }}"
    words = ("bench", "--command", "one=true", "--rounds", "2", "--warm-up", "0", "--dir", tmp_path)
    done = thinsim(*words, "--prepare", once, "--json", written)
    assert done.returncode == 1
    assert "thinsim: round 2, one, " in done.stderr
    assert f"--prepare {once!r} ended with status 4: no room (the figures are those of 1 round" in done.stderr
    found = json.loads(written.read_text())
    assert found["rounds"] == 1
    assert found["cut_short"].startswith("round 2, one, ")
    done = thinsim("bench", "--command", "one=exit 3", "--warm-up", "0", "--dir", tmp_path)
    assert done.returncode == 1
    assert "'exit 3' ended with status 3 (no round is complete" in done.stderr


def test_a_matrix_measures_every_combination_of_sizes(thinsim: Thinsim, tmp_path: Path) -> None:
    sizes = ("--data-size", "1G", "--data-size", "2G", "--image-mb", "1", "--image-mb", "2")
    words = ("bench", "--command", "one=true", "--rounds", "1", "--warm-up", "0", "--dir", tmp_path, *sizes)
    counted = []
    for more in ((), ("--matrix",)):
        done = thinsim(*words, *more, "--json", "-")
        assert done.returncode == 0, done.stderr
        counted.append(len(json.loads(done.stdout)["sizes"]))
    assert counted == [3, 4]


def test_a_comparison_is_written_as_markdown_and_takes_the_least_effect(
    thinsim: Thinsim, measured: Path
) -> None:
    done = thinsim("compare", measured, measured, "--markdown", "-", "--least-effect", "20")
    assert done.returncode == 0, done.stderr
    assert "| B to A | verdict |" in done.stdout
    done = thinsim("compare", measured, measured, "--json", "-", "--least-effect", "20")
    assert json.loads(done.stdout)["least_effect"] == 0.2
    done = thinsim("compare", measured, measured, "--least-effect", "0")
    assert done.returncode == 2
    assert "0.0 is not in the range 1<=x<=1000" in done.stderr


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
        (
            ("bench", "--contender", "vm/core/on"),
            "thinsim vm run --share . -- thinsim bench --contender kernel/core/on",
        ),
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
        (
            ("bench", "--contender", "process/core/on", "--container-mb", "10"),
            "plays a recorded image and container of 100 MiB each",
        ),
        (("bench", "--command", "true"), "'true': a command is NAME=COMMAND"),
        (
            ("bench", "--command", "a=true", "--command", "a=false"),
            "'--command': a is the name of another contender; choose another.",
        ),
        (
            ("bench", "--contender", "process/core/on", "--contender", "process/core/on"),
            "'--contender': process/core/on is the name of another contender; name it once.",
        ),
        (("bench", "--plot", "ratios.gif"), "the name of the file must end in .svg, .png or .pdf"),
    ],
)
def test_an_unknown_name_or_value_is_a_wrong_command_line(
    thinsim: Thinsim, words: tuple[str, ...], complaint: str
) -> None:
    done = thinsim(*words)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_subject_that_its_rig_cannot_have_is_a_wrong_command_line(thinsim: Thinsim) -> None:
    done = thinsim("bench", "--contender", "process/containerd/on")
    assert done.returncode == 2
    assert "containerd needs a rig with devices; process has none" in done.stderr


@pytest.mark.parametrize("words", ["5", "5%", "7.5 %"])
def test_the_least_effect_may_have_a_percent_sign(thinsim: Thinsim, words: str) -> None:
    done = thinsim("compare", "/dev/null", "/dev/null", "--least-effect", words)
    assert "is not a result of thinsim bench" in done.stderr
