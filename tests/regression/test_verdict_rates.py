"""The program behind the page of verdict rates, with one run of a case."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.verdict_rates import VerdictTally, main
from thinsim.cli.statuses import LEAKED


@pytest.mark.alone
def test_a_planted_leak_is_found_and_counted(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    words = ["count", "--runs", "1", "--only", "keeps one data block", "--json", str(counts)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    (case,) = json.loads(counts.read_text())
    assert (case["case"], case["busy"], case["rig"]) == ("the store keeps one data block", True, "process")
    assert (case["runs"], case["right"], case["statuses"]) == (1, 1, {str(LEAKED): 1})


def test_a_wrong_verdict_counts_as_a_run_and_not_as_right() -> None:
    tally = VerdictTally()
    for status in (0, 0, 5):
        tally.add(status, 3, right=5)
    assert tally.to_json() == {"runs": 3, "right": 1, "rounds": 3.0, "statuses": {"0": 2, "5": 1}}
