"""Each known space fault of containerd leaks the expected bytes with both profiles, on both rigs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.silent_progress import SilentProgress
from thinsim.cli.main import commands
from thinsim.machine.journal import Journal
from thinsim.rig.registry import find_rig
from thinsim.scenario.space_faults import FAULTS, MIB, SpaceFaultRow, measure_space_fault

RIGS = ("process", pytest.param("emulated", marks=[pytest.mark.rig, pytest.mark.long]))
BY_LETTER = {fault.letter: fault for fault in FAULTS}


async def row_of(letter: str, rig: str, directory: Path, journal: Journal) -> SpaceFaultRow:
    name = f"pool-{journal.path.stem}"
    return await measure_space_fault(
        BY_LETTER[letter], find_rig(rig), directory, journal, name, SilentProgress()
    )


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("letter", "ABCDEF")
async def test_the_leaks_of_containerd_are_freed_with_the_fixed_profile(
    tmp_path: Path, journal: Journal, letter: str, rig: str
) -> None:
    row = await row_of(letter, rig, tmp_path, journal)
    assert row.faithful.bytes >= 16 * MIB
    assert row.fixed.bytes == 0


async def test_the_notes_name_the_visible_effects(tmp_path: Path, journal: Journal) -> None:
    notes = {}
    for letter in "DEF":
        row = await row_of(letter, "process", tmp_path, journal)
        notes[letter] = (row.faithful.note, row.fixed.note)
    assert notes == {
        "D": ("", "deferred to cleanup"),
        "E": ("cannot be removed any more", "deferred to cleanup"),
        "F": ("no error", "the snapshotter refuses the pool"),
    }


@pytest.mark.parametrize("rig", RIGS)
async def test_usage_counts_unshared_blocks_with_the_fixed_profile(
    tmp_path: Path, journal: Journal, rig: str
) -> None:
    view = await row_of("G1", rig, tmp_path, journal)
    assert view.faithful.bytes <= -8 * MIB
    assert view.fixed.bytes == 0
    rewritten = await row_of("G2", rig, tmp_path, journal)
    assert rewritten.faithful.bytes == 0
    # The file system writes some metadata as well.
    assert 4 * MIB <= rewritten.fixed.bytes <= 5 * MIB


def test_the_command_prints_the_rows(tmp_path: Path) -> None:
    words = ["snapshotter", "leaks", "--rig", "process", "--dir", str(tmp_path), "--fault", "A"]
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 0, done.output
    assert "an image of two layers is removed" in done.output
    rows = json.loads(CliRunner().invoke(commands, [*words, "--json"]).stdout)
    assert [(row["letter"], row["fixed"]["bytes"]) for row in rows] == [("A", 0)]
    assert list(tmp_path.iterdir()) == []
