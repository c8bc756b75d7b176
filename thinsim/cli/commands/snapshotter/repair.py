"""``thinsim snapshotter repair`` brings store, pool metadata and pool together after a crash."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.statuses import DONE, FAILED
from thinsim.dm.standing.choose import device_mapper_of_this_machine
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.host import LinuxHost
from thinsim.snapshotter.repair import RepairReport
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter
from thinsim.units import format_size


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="containerd's config.toml with its devmapper table, or a file with those keys at its top.",
)
@click.option(
    "--device-mapper",
    "control",
    type=click.Path(path_type=Path, exists=True),
    help="Control socket of an emulated device-mapper. Default: the standing one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def repair(config: Path, control: Path | None, as_json: bool) -> int:
    """Make store, pool metadata and pool agree after a crash, while nobody serves them.

    Removes what is nobody's, finishes what was cut short, and names what can't be repaired. Exits 1 if
    something is left.
    """
    settings = Config.load(config)
    report = run_interruptible(lambda: _repair(settings, control))
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        for what, findings in (("repaired", report.repaired), ("left", report.left)):
            for finding in findings:
                click.echo(f"{what}: {finding.subject}: {finding.found}: {finding.remedy}")
        click.echo(
            f"{len(report.repaired)} repaired, {len(report.left)} left, "
            f"{format_size(report.reclaimed)} given back to the pool"
        )
    return FAILED if report.left else DONE


async def _repair(settings: Config, control: Path | None) -> RepairReport:
    dm = device_mapper_of_this_machine(settings.pool_name, control)
    journal = Journal.create()
    host = LinuxHost(RecordedMounter(journal), settings.root_path / "lost+found")
    snapshotter = await DevmapperSnapshotter.open(settings, dm, host)
    try:
        return await snapshotter.repair()
    finally:
        await snapshotter.close()
        journal.close()
