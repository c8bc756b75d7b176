"""``thinsim snapshotter crashes`` kills the snapshotter before every step and judges the result."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from fuse_backing.statuses import exit_status_help
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import without_warnings
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import notes_console, output_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.quiet import quiet_option
from thinsim.cli.run_scenario import clean_up_after_killed_runs
from thinsim.cli.statuses import DONE, FAILED
from thinsim.crashes.campaign import COMPARED_PROFILES, Campaign, Crash
from thinsim.crashes.operations import OPERATIONS
from thinsim.crashes.stage import STAGES
from thinsim.crashes.table import crash_table, summary
from thinsim.crashes.victims import forking_victims
from thinsim.machine.working_directory import working_directory
from thinsim.rig.process import PROCESS


@click.command(epilog=exit_status_help({FAILED: "anything is lost, leaked or incomplete after a repair"}))
@click.option(
    "--operation",
    "operations",
    multiple=True,
    type=click.Choice(list(OPERATIONS)),
    metavar="NAME",
    help=f"Crash only in this operation; may be repeated. Operations: {'; '.join(OPERATIONS)}.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(COMPARED_PROFILES),
    help="Use only this profile of the snapshotter. Default: both.",
)
@click.option(
    "--rig",
    type=click.Choice(list(STAGES)),
    default=PROCESS.name,
    show_default=True,
    help="Choose the rig. process: without root. emulated: with real mkfs, mounts and loop devices, as root.",
)
@directory_option
@click.option(
    "--json",
    "json_path",
    type=OutputPath(allow_dash=True),
    metavar="FILE",
    help="Write every crash and its findings to this file; - writes to stdout instead of the table.",
)
@quiet_option
def crashes(
    operations: tuple[str, ...],
    profiles: tuple[str, ...],
    rig: str,
    directory: Path | None,
    json_path: Path | None,
) -> int:
    """Kill the snapshotter before each step and judge the repair.

    The steps of an operation are each write to the databases, each command to device-mapper, mkfs, discards
    and mounts. After each crash the snapshotter restarts and repairs. The table shows the state after the
    restart and after the repair.
    """
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    with without_warnings():  # every restart warns about the leftovers of its crash
        found = run_interruptible(
            lambda: _campaign(
                operations or tuple(OPERATIONS), profiles or COMPARED_PROFILES, rig, directory, notes
            )
        )
    if json_path is not None:
        text = json.dumps([asdict(crash) for crash in found], indent=1)
        if json_path == Path("-"):
            click.echo(text)
        else:
            json_path.write_text(text + "\n")
    if json_path != Path("-"):
        output_console().print(crash_table(found), crop=False)
        click.echo(summary(found))
    return FAILED if any(crash.problems for crash in found) else DONE


async def _campaign(
    operations: Sequence[str], profiles: Sequence[str], rig: str, directory: Path | None, notes: Console
) -> Sequence[Crash]:
    found: list[Crash] = []
    async with (
        working_directory(directory, lambda text: notes.print(text, highlight=False)) as (place, journal),
        forking_victims(place / "victims.log") as victims,
        Campaign(rig, place, journal, victims) as campaign,
    ):
        for profile in profiles:
            for name in operations:
                of_it = await campaign.run(OPERATIONS[name], profile)
                wrong = sum(bool(crash.problems) for crash in of_it)
                notes.print(f"{profile}: {name}: {len(of_it)} crashes, {wrong} wrong", highlight=False)
                found += of_it
    return found
