"""Every kind in a registry has its row in the reference for users."""

import pytest

from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import RIGS
from thinsim.scenario.file.steps.registry import STEPS
from tools.reference_pages.rigs import need_table, rig_table, target_table
from tools.reference_pages.scenario_file import steps


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
def test_a_rig_has_a_row_that_describes_its_pool_and_its_use(rig: RigRecord) -> None:
    assert rig.pool
    assert rig.best_for
    assert f"| `{rig.name}` | {rig.pool} |" in rig_table()
    assert f"| `{rig.name}` |" in need_table()


@pytest.mark.parametrize("word", STEPS)
def test_a_step_of_scenario_files_has_its_section(word: str) -> None:
    assert f"### `{word}`\n" in steps()


@pytest.mark.parametrize("name", [each.name for each in TARGET_TYPES])
def test_a_target_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in target_table()
