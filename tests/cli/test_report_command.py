"""``thinsim report`` shows every document that states its kind, and a saved report can gate a job."""

import json
from pathlib import Path

import pytest

from tests.cli.command_lines import Thinsim
from thinsim.report.document import from_json

BENCH = ("bench", "--contender", "process/core/on", "--rounds", "1", "--warm-up", "0")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture
def report(thinsim: Thinsim, saved: Path) -> Path:
    path = saved / "report.json"
    if not path.exists():
        thinsim("run", "container-exit", "--rig", "process", "--dir", saved, "--json", path)
    return path


@pytest.fixture
def benchmark(thinsim: Thinsim, saved: Path) -> Path:
    path = saved / "bench.json"
    if not path.exists():
        thinsim(*BENCH, "--dir", saved, "--json", path)
        thinsim("compare", path, path, "--json", saved / "compare.json")
    return path


def test_a_saved_report_can_gate(thinsim: Thinsim, report: Path) -> None:
    done = thinsim("report", report, "--fail-on-leak", "1M")
    assert done.returncode == 3
    head, owner, parts = done.stderr.splitlines()
    assert head == "thinsim: discard_blocks=false: leaked 20.2 MiB (21233664 bytes), more than 1 MiB"
    assert owner == (
        "  container (thin 3): 20.2 MiB (21233664 bytes in 324 blocks), leaked by 'remove container': "
        "deleted without discard: discard_blocks is off"
    )
    assert parts.startswith(
        "    20.2 MiB in blocks that 'run container' took: 20 MiB of files; the other 256 KiB are "
    )
    assert thinsim("report", report, "--fail-on-leak", "21M").returncode == 0


def test_the_parts_of_a_leak_are_in_every_form(thinsim: Thinsim, report: Path, tmp_path: Path) -> None:
    page, cases = tmp_path / "r.html", tmp_path / "r.xml"
    options = ["--html", page, "--junit", cases, "--fail-on-leak", "0"]
    table = thinsim("report", report, *options).stdout
    for text in (table, page.read_text(), cases.read_text()):
        assert "20 MiB of files; the other 256 KiB are the file system" in text
    (leak,) = json.loads(report.read_text())["runs"][0]["leaks"]
    # The container leaves 16 MiB, deletes 2 MiB, and overwrites 2 MiB of the image.
    assert leak["origins"] == [{"step": "run container", "bytes": leak["bytes"], "files": 20 << 20}]


def test_a_report_of_format_1_is_still_read(report: Path) -> None:
    document = json.loads(report.read_text())
    earlier = {**document, "kind": "thinsim scenario", "format": 1}
    for run in earlier["runs"]:
        del run["cut_short"], run["fs_type"], run["setting"]
        for leak in run["leaks"]:
            del leak["origins"]
    del earlier["cut_short"], earlier["reproduction"]
    read = from_json(json.dumps(earlier), "here")
    assert [run.leaked for run in read.runs] == [run["leaked"] for run in document["runs"]]


def test_the_table_of_a_benchmark_and_of_a_comparison_is_shown(
    thinsim: Thinsim, benchmark: Path, saved: Path
) -> None:
    done = thinsim("report", benchmark)
    assert (done.returncode, "One round without a warm-up round" in done.stdout) == (0, True)
    done = thinsim("report", saved / "compare.json")
    assert (done.returncode, "A and B are from two runs" in done.stdout) == (0, True)


def test_the_table_of_a_baseline_is_shown(thinsim: Thinsim, tmp_path: Path) -> None:
    stored = tmp_path / "baseline.json"
    words = ["save", "container-exit", "--rig", "process", "--rounds", "1", "--dir", tmp_path, "-o", stored]
    thinsim("baseline", *words)
    done = thinsim("report", stored)
    assert done.returncode == 0
    heading, *rows = [line.split() for line in done.stdout.splitlines()]
    assert heading[:4] == ["scenario", "rig", "rounds", "variant"]
    assert [row[3:] for row in rows] == [
        ["discard_blocks=false", "324", "20.2", "MiB", "0", "hold"],
        ["discard_blocks=true", "0", "0", "B", "1", "hold"],
    ]


@pytest.mark.parametrize("option", ["--html", "--junit", "--json", "--fail-on-leak"])
def test_a_form_that_does_not_exist_for_a_kind_is_refused_in_words(
    thinsim: Thinsim, benchmark: Path, tmp_path: Path, option: str
) -> None:
    done = thinsim("report", benchmark, option, "1" if option == "--fail-on-leak" else tmp_path / "out")
    assert done.returncode == 2
    assert (
        f"Error: {option} cannot be used with {benchmark}: this is a result of thinsim bench, and the "
        in (done.stderr)
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "thinsim nothing"}', '{"kind": 1}'])
def test_any_other_document_is_refused(thinsim: Thinsim, tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    done = thinsim("report", tmp_path / "other.json")
    assert done.returncode == 1
    assert f"{tmp_path}/other.json is not a thinsim report of format 2: " in done.stderr


@pytest.mark.parametrize("option", ["--json", "--junit", "--html"])
def test_a_report_is_not_replaced_by_its_own_conversion(thinsim: Thinsim, report: Path, option: str) -> None:
    before = report.read_text()
    done = thinsim("report", report, option, report)
    assert done.returncode == 2
    assert f"{option} would replace {report}, which the command reads" in done.stderr
    assert report.read_text() == before


def test_a_run_does_not_replace_its_scenario(thinsim: Thinsim, tmp_path: Path) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text(thinsim("scenarios", "show", "container-exit").stdout)
    before = scenario.read_text()
    done = thinsim("run", scenario, "--rig", "process", "--json", scenario)
    assert done.returncode == 2
    assert scenario.read_text() == before


def test_a_comparison_does_not_replace_a_benchmark(thinsim: Thinsim, benchmark: Path) -> None:
    before = benchmark.read_text()
    assert thinsim("compare", benchmark, benchmark, "--json", benchmark).returncode == 2
    assert benchmark.read_text() == before
