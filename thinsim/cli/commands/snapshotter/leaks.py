"""``thinsim snapshotter leaks`` measures containerd's known space faults with and without their fixes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from fuse_backing.statuses import exit_status_help
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import without_warnings
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import notes_console, output_console
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.run_scenario import clean_up_after_killed_runs, rig_for_scenarios
from thinsim.cli.statuses import DONE, FAILED
from thinsim.machine.working_directory import working_directory
from thinsim.report.whole_words import WholeWords
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import HERE, rig_names
from thinsim.scenario.space_faults import (
    FAULTS,
    SpaceFault,
    SpaceFaultOutcome,
    SpaceFaultRow,
    measure_space_fault,
)


@click.command(epilog=exit_status_help({FAILED: "anything leaks with the profile fixed"}))
@click.option(
    "--fault",
    "letters",
    multiple=True,
    type=click.Choice([fault.letter for fault in FAULTS]),
    help="Measure only this fault; may be repeated.",
)
@rig_option(rig_names(HERE))
@directory_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@quiet_option
def leaks(letters: tuple[str, ...], rig: str, directory: Path | None, as_json: bool) -> int:
    """Measure the known space faults of the devmapper snapshotter.

    The command measures each fault twice: with the profile containerd, which leaks as containerd does, and
    with the profile fixed, which does not leak. The table describes the fault of each letter.
    """
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig, directory, notes)
    chosen = [fault for fault in FAULTS if not letters or fault.letter in letters]
    # Warnings about busy devices and about the leftovers of a restart are expected here.
    with without_warnings(), TerminalProgress(notes) as progress:
        rows = run_interruptible(lambda: _measure(chosen, choice.rig, directory, progress))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        output_console().print(_table(rows), crop=False)
    return FAILED if any(row.fixed.bytes for row in rows if not row.is_usage) else DONE


async def _measure(
    faults: Sequence[SpaceFault], rig: RigRecord, directory: Path | None, progress: TerminalProgress
) -> list[SpaceFaultRow]:
    async with working_directory(directory, progress.say) as (place, journal):
        name = f"thinsim-{journal.path.stem}"
        return [await measure_space_fault(fault, rig, place, journal, name, progress) for fault in faults]


def _table(rows: Sequence[SpaceFaultRow]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "what happens", "fixed by", "bytes, containerd", "bytes, fixed"):
        table.add_column(heading, justify="right" if heading.startswith("bytes") else "left")
    for row in rows:
        table.add_row(row.letter, row.title, row.key, _words(row.faithful), _words(row.fixed))
    return WholeWords(table)


def _words(outcome: SpaceFaultOutcome) -> str:
    return f"{outcome.bytes}" + (f" ({outcome.note})" if outcome.note else "")
