"""``thinsim ci --against`` compares speed with another installation in the same rounds."""

import json
import sys
from pathlib import Path

import pytest

from tests.regression.gated_project import GatedProject
from thinsim.cli.main import status_of
from thinsim.cli.statuses import DONE, FAILED, WRONG_WORDS


def test_speed_is_compared_against_another_installation_in_the_same_rounds(project: GatedProject) -> None:
    status = status_of(
        [
            *("ci", "a.toml", "--baseline", "b.json", "--rig", "process", "--rounds", "1"),
            *("--most-rounds", "1", "--against", f"{sys.executable} -m thinsim", "--json", "now.json"),
        ]
    )
    out, _ = project.capsys.readouterr()
    assert status == DONE, out
    (stored,) = json.loads(Path("now.json").read_text())["scenarios"]
    assert [each["costs"][0]["processor"] > 0 for each in stored["variants"]] == [False, True]


@pytest.mark.parametrize(
    ("against", "status", "says"),
    [
        ("/none/thinsim", WRONG_WORDS, "the program /none/thinsim does not exist"),
        ("", WRONG_WORDS, "the command is empty"),
        ("'", WRONG_WORDS, "No closing quotation"),
        ("false", FAILED, "exit status 1"),
    ],
)
def test_an_installation_that_can_not_run_is_an_error_with_its_reason(
    project: GatedProject, against: str, status: int, says: str
) -> None:
    assert project.timed_ci("a.toml", "--against", against) == status
    assert says in project.err


def test_another_installation_is_refused_where_no_speed_is_compared(project: GatedProject) -> None:
    assert project.ci("a.toml", "--against", "thinsim") == WRONG_WORDS
    assert "--against cannot be used with --no-speed" in project.err
