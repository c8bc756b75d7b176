"""Tables and sentences show limits, relevant options and reasons, and leave empty columns out."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.node.stack.test_stack_passing import BLOCK, STEP, chain, file_system
from thinsim.node.stack.height import DeviceLimits, HeightKind, StackHeight
from thinsim.node.stack.probe import Probe
from thinsim.node.stack.report import heights_report
from thinsim.node.stack.table import heights_table, probe_summary, summary, trial_summary, trial_table
from thinsim.node.stack.trial import Trial
from thinsim.node.stack.verdict import Death, HeightEffect

LIMITS = DeviceLimits(512, BLOCK, 0, 1 << 30, 1 << 30)
CRYPT = StackHeight(
    HeightKind.CRYPT, "/dev/mapper/c", limits=LIMITS, passes=False, reason="no allow_discards"
)
DISK = StackHeight(HeightKind.DISK, "/dev/sda", unit=BLOCK, limits=LIMITS)
TOP = replace(file_system(), type="xfs", options=("rw", "discard", "noatime"), note="at once and by fstrim")


def lines_of(table: object) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def trial(effects: tuple[HeightEffect, ...], death: Death | None, minimum: int = 0) -> Trial:
    return Trial(BLOCK, minimum, 1, BLOCK, BLOCK, effects, death)


def test_a_row_has_the_limits_and_the_relevant_options() -> None:
    heading, top, crypt, disk = lines_of(heights_table(chain(TOP, CRYPT, DISK)))
    assert heading.split() == [
        "height",
        "name",
        "logical",
        "block",
        "granularity",
        "largest",
        "unit",
        *OPTIONS,
    ]
    assert top.split() == ["0", "file", "system", "xfs", "/mnt", "4", "KiB", "discard", "pass", "1"]
    assert crypt.split() == ["1", "crypt", "/dev/mapper/c", "512", "B", "64", "KiB", "1", "GiB", "die", "2"]
    assert disk.split() == ["2", "disk", "/dev/sda", "512", "B", "64", "KiB", "1", "GiB", "64", "KiB", "pass"]


OPTIONS = ["options", "discards", "on"]


def test_the_alignment_has_a_column_if_a_device_has_one() -> None:
    moved = replace(DISK, limits=replace(LIMITS, alignment=STEP))
    assert "alignment" in lines_of(heights_table([moved]))[0]


def test_the_summary_names_where_discards_die_or_which_sizes_live() -> None:
    assert list(summary(heights_report(Path("/mnt"), chain(TOP, CRYPT, DISK)))) == [
        "Height 0, file system xfs /mnt: at once and by fstrim.",
        "Discards die at height 1, crypt /dev/mapper/c: no allow_discards.",
    ]
    alive = heights_report(Path("/mnt"), chain(TOP, DISK))
    assert list(summary(alive))[1:] == [
        "Discards of 124 KiB and more live to the lowest height; those from 64 KiB on live only if they are "
        "aligned, because the largest unit is that of height 1, disk /dev/sda."
    ]
    assert alive.alive


def test_a_trial_has_its_counts_and_its_end() -> None:
    heights = chain(TOP, DISK)
    lived = trial((HeightEffect(1, 2, BLOCK, STEP, None),), None)
    title, heading, row = lines_of(trial_table(heights, lived))
    assert title.strip() == "file of 64 KiB in 1 extent"
    assert heading.split()[2:] == ["discards", "arrived", "before", "fstrim", "freed"]
    assert row.split() == ["1", "disk", "/dev/sda", "2", "64", "KiB", "4", "KiB"]
    assert trial_summary(heights, lived) == "The discards arrived at height 1, disk /dev/sda."
    died = trial((HeightEffect(1, 0, 0, 0, None),), Death(0, "it is short"), minimum=BLOCK)
    assert lines_of(trial_table(heights, died))[0].strip() == "file of 64 KiB in 1 extent, fstrim -m 65536"
    assert trial_summary(heights, died) == "The discards died at height 0, file system xfs /mnt: it is short."


def test_the_first_trial_decides_and_a_later_one_shows_what_would_have_lived() -> None:
    died = trial((), Death(0, "it is short"))
    lived = trial((), None)
    probe = Probe((died, lived), BLOCK)
    assert list(probe_summary(probe)) == ["A file of 64 KiB would have lived, as a trial shows."]
    assert list(probe_summary(Probe((died,), None))) == ["No trial's discards lived."]
    assert list(probe_summary(Probe((lived,), BLOCK))) == []
    assert not heights_report(Path("/mnt"), chain(TOP, DISK), probe).alive
    assert heights_report(Path("/mnt"), chain(TOP, DISK), Probe((lived,), BLOCK)).alive
