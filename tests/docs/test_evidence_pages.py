"""Each page of evidence equals the output of its generator from the data that are kept."""

import json
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from thinsim.benchmark.document import Benchmark
from tools import (
    benchmarks_page,
    containerd_patched_pages,
    containerd_versions_page,
    crashes_page,
    data_plane_page,
    hosts_page,
    posix_page,
    posix_suite,
    reclaim_page,
    verdict_rates_page,
)
from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now
from tools.matrix import page as matrix_page

PAGES = sorted(path for path in EVIDENCE.glob("*.md") if not path.name.endswith("-by-hand.md"))


def test_the_page_of_crashes_is_what_its_generator_makes() -> None:
    page = crashes_page.page(Measured.read(crashes_page.PROCESS), Measured.read(crashes_page.EMULATED))
    assert (EVIDENCE / "crashes.md").read_text() == page, "run `python -m tools.crashes_page`"


def test_the_page_of_benchmarks_is_what_its_generator_makes() -> None:
    known = {name: Measured.read(DATA / f"{name}.json") for name in benchmarks_page.TABLES}
    assert (EVIDENCE / "benchmarks.md").read_text() == benchmarks_page.page(known), (
        "run `make benchmarks-page`"
    )


def test_the_page_of_verdict_rates_is_what_its_generator_makes() -> None:
    page = verdict_rates_page.page(Measured.read(verdict_rates_page.COUNTS))
    assert (EVIDENCE / "verdict-rates.md").read_text() == page, "run `python -m tools.verdict_rates_page`"


def test_the_page_of_the_data_plane_is_what_its_generator_makes() -> None:
    page = data_plane_page.page(data_plane_page.kept())
    assert (EVIDENCE / "data-plane.md").read_text() == page, "run `make data-plane-page`"


def test_the_page_of_the_reclaim_is_what_its_generator_makes() -> None:
    page = reclaim_page.page(Measured.read(reclaim_page.KEPT))
    assert (EVIDENCE / "reclaim.md").read_text() == page, "run `python -m tools.reclaim_page`"


def test_the_page_of_hosts_is_what_its_generator_makes() -> None:
    page = hosts_page.page(Measured.read(hosts_page.KEPT))
    assert (EVIDENCE / "hosts.md").read_text() == page, "run `make hosts-page`"


def test_the_page_of_the_posix_suite_is_what_its_generator_makes() -> None:
    page = posix_page.page(Measured.read(posix_page.KEPT))
    assert (EVIDENCE / "posix.md").read_text() == page, "run `make posix-page`"


def test_the_published_ledgers_agree_with_their_hosts_where_they_are_measured() -> None:
    """A host may use a block more or less for the map of a file, which the ledger does not count."""
    for host in Measured.read(hosts_page.KEPT).document:
        for ledger, used in [*host.get("punches", ()), *([host["release"]] if "release" in host else ())]:
            assert abs(ledger - used) <= (65536 if host["exact"] else 1 << 30), host["host"]


def test_the_published_suite_found_no_failure_that_the_host_does_not_have() -> None:
    results = posix_suite.from_json(Measured.read(posix_page.KEPT).document["files"])
    assert len(results) > 200
    assert list(posix_suite.more_failures(results)) == []


def test_the_page_of_containerd_versions_is_what_its_generator_makes() -> None:
    kept = Measured.read(DATA / "containerd-versions.json")
    assert (EVIDENCE / "containerd-versions.md").read_text() == containerd_versions_page.page(kept), (
        "run `python -m tools.containerd_versions_page`"
    )


@pytest.mark.parametrize("name", containerd_patched_pages.PAGES)
def test_a_page_of_patched_containerd_is_what_its_generator_makes(name: str) -> None:
    page = containerd_patched_pages.PAGES[name](Measured.read(DATA / f"{name}.json"))
    assert (EVIDENCE / f"{name}.md").read_text() == page, "run `python -m tools.containerd_patched_pages`"


def test_the_published_patches_free_all_that_the_released_builds_leak() -> None:
    runs = Measured.read(DATA / "containerd-committed.json").document["runs"]
    leaked = {tuple(run["name"].split(": ", 1)): run["leaked"] for run in runs}
    discarding = {key for key in leaked if "true" in key[1]}
    assert discarding
    assert all((leaked[key] == 0) == key[0].endswith("patched") for key in discarding), leaked
    assert all(leaked[key] > 0 for key in leaked.keys() - discarding), leaked


def test_the_published_suspend_fails_at_once_without_the_patch_and_is_tried_again_with_it() -> None:
    for run in Measured.read(DATA / "containerd-suspend.json").document:
        failed = [answer for answer in run["suspends"] if not answer.startswith("0")]
        if "retry-suspend" in run["revision"]:
            assert (run["error"], len(run["suspends"]) - len(failed)) == ("", 1)
            assert len(failed) > 1
        else:
            assert "device or resource busy" in run["error"]
            assert len(run["suspends"]) == len(failed) == 1


def test_the_page_of_the_matrix_is_what_its_generator_makes() -> None:
    kept = Measured.read(DATA / "matrix.json")
    assert (EVIDENCE / "matrix.md").read_text() == matrix_page.page(kept), "run `python -m tools.matrix`"


def test_the_published_rates_are_those_that_a_gate_needs() -> None:
    """Beside busy processors, one of 100 runs may be a false alarm, and five may miss what is planted.

    A sleep looks like the kernel's own waits there, so more runs may end without a verdict.
    """
    counts = Measured.read(verdict_rates_page.COUNTS).document
    hundred = {(each["case"], each["rig"]) for each in counts if each["runs"] >= 100}
    assert hundred >= {
        ("nothing changed", "process"),
        ("discards take 1.5 times as much processor time", "process"),
        ("nothing changed", "emulated"),
    }
    for each in counts:
        least = 0.99 if each["case"] == "nothing changed" else 0.95
        if each["busy"] and "wait" in each["case"]:
            least = 0.5
        assert each["right"] >= least * each["runs"], each


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_its_claim_its_command_and_its_day(path: Path) -> None:
    _, claim, *others = path.read_text().split("\n\n")
    assert claim.startswith("This page shows ")
    beginning = "\n\n".join(others[:8])
    assert "`make " in beginning
    assert f"docs/evidence/{path.stem}-by-hand.md" in beginning


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_data_name_their_command_their_day_and_their_kernel(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["day"].startswith("20")
    if path.stem != "fidelity":
        assert document["command"]
        assert document["kernel"].startswith("Linux ")


def test_crashes_are_counted_and_steps_of_one_outcome_share_a_row() -> None:
    def crash(number: int, outcome: str, *problems: str, during: bool = False) -> dict[str, object]:
        step = f"write: {number}"
        return {
            "operation": "start it",
            "profile": "containerd",
            "number": number,
            "step": step,
            "during": during,
            "after_restart": "agrees",
            "after_repair": outcome,
            "problems": problems,
        }

    crashes = [crash(1, "agrees"), crash(2, "agrees"), crash(3, "agrees", "lost", during=True)]
    counts = crashes_page.counted(crashes)
    assert counts == {"profiles": ["containerd"], "operations": 1, "crashes": 3, "during": 1, "wrong": 1}
    page = crashes_page.page(measured_now("x", crashes), measured_now("y", counts))
    assert (
        "| 1 to 2 | write: 1 … write: 2 | agrees | agrees |\n| 3 | during write: 3 | agrees | agrees; lost |"
        in page
    )
    assert "| start it | 3 | 1 |" in page
    assert "### Start it" in page


def series(contender: str, *figures: float, row: str = "hole punches") -> dict[str, object]:
    known = {"row": row, "unit": "s", "more_is_better": False, "sizes": "small"}
    return {**known, "contender": contender, "figures": figures}


BENCH = {
    "kind": "thinsim bench",
    "format": 1,
    "command": "thinsim bench",
    "environment": {},
    "rounds": 2,
    "warm_up": 0,
    "contenders": ["emulated/core/off", "emulated/core/on"],
    "sizes": ["small"],
    "series": [
        series("emulated/core/off", 1, 3),
        series("emulated/core/on", 2, 6),
        series("emulated/core/off", 1, 1, row="peak memory, thinsim"),
        series("emulated/core/on", 1, 1, row="peak memory, thinsim"),
    ],
}


@pytest.mark.parametrize(
    ("name", "document", "row"),
    [
        (
            "backing",
            {
                "measured": [
                    {"row": "read", "unit": "1/s", "contender": "plain file", "median": 200.4, "ratio": 1.0},
                    {"row": "read", "unit": "1/s", "contender": "other", "median": None, "ratio": None},
                ]
            },
            ("read (1/s)", "200", "-"),
        ),
        (
            "removal",
            {"a": {"prepare": [10, 20, 30], "remove": [5]}, "b": {"prepare": [1, 4, 9], "remove": []}},
            ("b", "4 (1 to 9)", "0.20", ""),
        ),
        (
            "dropin",
            {"dmsetup info": [4.0, 4.2], "  the daemon's part of info": [0.5]},
            ("`dmsetup info`", "4.1", "0.50"),
        ),
        ("startup", {"x": {"wall": [1, 2, 3], "processor": [1]}}, ("`x`", "2.00", "1.00", "1.00")),
        ("bench", BENCH, ("hole punches, s", "2.00", "4.00 (2.00, 2.00 to 2.00)")),
        ("bench-grown", BENCH, ("hole punches, s", "4.00")),
        (
            "bench-compared",
            {
                "compared": [
                    {
                        "row": "run",
                        "unit": "s",
                        "contender": "process/core/on",
                        "verdict": "better",
                        "first": {"median": 2},
                        "second": {"median": 1},
                        "ratio": {"median": 0.5, "low": 0.4, "high": 0.6},
                    }
                ]
            },
            ("run, s", "`on`", "2.00", "1.00", "0.50 (0.40 to 0.60)", "*better*"),
        ),
    ],
)
def test_a_table_is_made_from_what_a_benchmark_writes(
    name: str, document: object, row: tuple[str, ...]
) -> None:
    head, rows = benchmarks_page.TABLES[name].rows(document)
    assert row in [tuple(each) for each in rows]
    assert all(len(each) == len(head) for each in rows)


def test_a_table_of_turns_has_ratios_with_intervals() -> None:
    measured = [
        {"row": "read", "unit": "1/s", "contender": "plain loop", "median": 1200, "ratios": [1, 1]},
        {"row": "read", "unit": "1/s", "contender": "other", "median": 900, "ratios": [0.7, 0.8]},
        {"row": "read", "unit": "1/s", "contender": "no reader", "median": None, "ratios": []},
    ]
    assert data_plane_page.turns_table(measured).splitlines() == [
        "| row | plain loop | other | no reader |",
        "|---|---|---|---|",
        "| read (1/s) | 1,200 | 0.75 (0.70 to 0.80) | - |",
    ]


def test_a_table_of_growth_has_a_row_per_step() -> None:
    step = {
        "mapped_blocks": 10_000,
        "first_random_read": 750.4,
        "read": 3000.0,
        "read_ratio": 0.5,
        "read_ratio_low": 0.4,
        "read_ratio_high": 0.6,
        "daemon_mib": 80.25,
        "grown_mib": 12.0,
    }
    assert data_plane_page.growth_table([step], "mapped_blocks", {"read": "reads"}).splitlines() == [
        "| mapped blocks | first random reads | reads | memory, MiB | growth, MiB |",
        "|---|---|---|---|---|",
        "| 10,000 | 750 | 3,000, 0.50 (0.40 to 0.60) | 80.2 | 12 |",
    ]


def test_the_document_of_bench_is_one_that_thinsim_reads() -> None:
    assert Benchmark.model_validate(BENCH).rounds == 2


def test_measurements_are_read_as_they_were_written(tmp_path: Path) -> None:
    for number, measured in enumerate(
        [Measured("a", "2026-11-29", "Linux", document={"x": [1]}), measured_now("b", [{"y": 1}, {"y": 2}])]
    ):
        measured.write(tmp_path / f"{number}.json")
        assert Measured.read(tmp_path / f"{number}.json") == measured


def test_a_part_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="has places for"):
        filled("crashes", {"no such part": ""})


def test_the_commands_on_the_page_are_those_that_measure() -> None:
    for name, each in benchmarks_page.TABLES.items():
        assert each.commands[-1].endswith("--json JSON") or " --json JSON " in each.commands[-1], name
        assert (REPOSITORY / "docs" / "evidence" / "data" / f"{name}.json").exists()
