"""Every kind in a registry has its row in the document for users."""

import pytest

from tests.repository import REPOSITORY
from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.rig.registry import rig_names
from thinsim.scenario.file.steps.registry import STEPS

TARGETS = [each.name for each in TARGET_TYPES]


def rows(page: str) -> str:
    """Return the lines of the page's tables."""
    text = (REPOSITORY / "docs" / page).read_text()
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("name", rig_names())
def test_a_rig_has_a_row_of_its_own(name: str) -> None:
    assert f"| `{name}` |" in rows("explanation/rigs.md")


@pytest.mark.parametrize("word", STEPS)
def test_a_step_of_scenario_files_has_its_row(word: str) -> None:
    assert f"`{word}`" in "\n".join(
        line.split("|")[1] for line in rows("tutorial/write-a-scenario.md").splitlines()
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_stands_beside_its_protocol(name: str) -> None:
    (row,) = [
        line for line in rows("explanation/architecture.md").splitlines() if line.startswith("| Target |")
    ]
    assert name in row.split("|")[3].replace(",", "").split()
