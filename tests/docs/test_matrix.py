"""The matrix keeps its results per system and step, and `make test-long` runs its quickest row."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.repository import REPOSITORY
from tools.matrix.page import results_table, systems_table
from tools.matrix.results import MatrixResult, merged
from tools.matrix.steps import STEPS
from tools.matrix.system_root import MIRROR
from tools.matrix.systems import SYSTEMS


def result(
    suite: str, step: str, *, text: str = "fine", day: str = "2026-12-01", **versions: str
) -> MatrixResult:
    return MatrixResult(suite, step, 0, text, 12, day, "abc1234", versions)


def kept(*results: MatrixResult) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for each in results:
        rows = merged(rows, each, tuple(SYSTEMS), tuple(STEPS))
    return rows


def test_a_part_of_the_matrix_replaces_only_its_own_results() -> None:
    first = kept(result("sid", "tests"), result("trixie", "suite"), result("trixie", "reproduce"))
    assert [(row["suite"], row["step"]) for row in first] == [
        ("trixie", "reproduce"),
        ("trixie", "suite"),
        ("sid", "tests"),
    ]
    second = merged(first, result("trixie", "suite", text="new"), tuple(SYSTEMS), tuple(STEPS))
    assert [row["result"] for row in second] == ["fine", "new", "fine"]


def test_results_of_a_step_that_is_gone_are_dropped() -> None:
    rows = merged(kept(result("sid", "suite")), result("sid", "tests"), ("sid",), ("reproduce", "tests"))
    assert [row["step"] for row in rows] == ["tests"]


def test_the_page_names_the_day_and_the_commit_of_each_row_and_what_was_not_run() -> None:
    lines = results_table(kept(result("trixie", "reproduce", text="a | b"))).splitlines()
    assert "| make reproduce | trixie | a   b | 12 s | 2026-12-01 | `abc1234` |" in lines
    assert lines.count("| make reproduce | sid | not run |  |  |  |") == 1
    assert len(lines) == 2 + len(STEPS) * len(SYSTEMS)


def test_the_page_has_the_newest_version_of_each_program() -> None:
    rows = kept(
        result("sid", "reproduce", day="2026-12-02", Python="3.14", containerd=""),
        result("sid", "tests", day="2026-12-01", Python="3.13", containerd="2.1"),
    )
    assert systems_table(rows).splitlines() == [
        "| suite | Python | containerd |",
        "|---|---|---|",
        "| sid | 3.14 | 2.1 |",
    ]


def lacking() -> str:
    """Return what the quickest row needs and this machine lacks, with its fix; empty if it lacks nothing."""
    if os.geteuid() != 0:
        return "debootstrap needs root: sudo make test-long"
    if shutil.which("debootstrap") is None:
        return "debootstrap is missing; install debootstrap"
    try:
        urllib.request.urlopen(f"{MIRROR}/dists/trixie/Release", timeout=30).close()
    except (urllib.error.URLError, OSError) as error:
        return f"{MIRROR} can't be reached ({error}); connect this machine to the network"
    return ""


@pytest.mark.long
@pytest.mark.rig
def test_a_newcomer_reproduces_the_leaks_on_a_fresh_system() -> None:
    if lack := lacking():
        pytest.skip(lack)
    command = [sys.executable, "-m", "tools.matrix", "--measure", "--no-page"]
    done = subprocess.run(
        [*command, "--system", "trixie", "--step", "reproduce"],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "discard_committed: 0 B leaked" in done.stderr
