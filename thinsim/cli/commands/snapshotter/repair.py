"""``thinsim snapshotter repair`` makes database, pool metadata and pool agree after a crash."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
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


@click.command(epilog=exit_status_help({FAILED: "something could not be repaired"}))
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Read containerd's config.toml with its devmapper table, or a file with those keys at its top.",
)
@click.option(
    "--device-mapper",
    "control",
    type=click.Path(path_type=Path, exists=True),
    help="Connect to this control socket. Default: the device-mapper of this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def repair(config: Path, control: Path | None, as_json: bool) -> int:
    """Make database, metadata and pool agree after a crash.

    Stop containerd and every other user of the pool first. The command removes devices without an
    owner, finishes interrupted operations, and names what it cannot repair.
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
            f"{format_size(report.reclaimed)} freed in the pool"
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
