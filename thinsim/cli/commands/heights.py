"""``thinsim heights`` shows the storage stack below a path, and where discards die in it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import print_table, print_words
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.size import UNITS, SizeType
from thinsim.cli.statuses import DONE, LEAKED

if TYPE_CHECKING:
    from thinsim.node.stack.report import HeightsReport

_LEAST_FILE = 4096


@click.command(epilog=f"{UNITS} {exit_status_help({LEAKED: 'discards die at some height'})}")
@click.argument("path", metavar="PATH|DEVICE|MOUNT", type=click.Path(path_type=Path))
@click.option(
    "--probe",
    "wanted",
    is_flag=True,
    help="Write a file of its own there, remove it, trim its place, and count what arrives at each height.",
)
@click.option(
    "--size",
    type=SizeType(_LEAST_FILE),
    help="Write a file of this size with --probe. Default: 64M, or half of the free space if that is less.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table; sizes in bytes.")
@quiet_option
def heights(path: Path, wanted: bool, size: int | None, as_json: bool) -> int:
    """Show the storage below a path, and where discards die.

    The command follows a mount, a file or a block device down to the disk: file systems, loop devices,
    device-mapper, LVM, partitions, FUSE. For each height it shows the limits of discards and whether they
    pass. It only reads, unless --probe is given.

    --probe needs root and a mounted file system. It writes, removes and trims a file that has no name, and
    shows the bytes that arrived and that were freed at each height. If the discards die, it also tries a file
    that should be large enough. Counts include what other programs do at the same time.
    """
    if size is not None and not wanted:
        raise click.UsageError("--size needs --probe")
    report = run_interruptible(lambda: _report(path, wanted, size))
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=1))
    else:
        _print(report)
    return DONE if report.alive else LEAKED


async def _report(path: Path, wanted: bool, size: int | None) -> "HeightsReport":
    # These modules are slow to import, and other command lines need not wait for them.
    from thinsim.node.stack.probe import probe  # noqa: PLC0415
    from thinsim.node.stack.report import heights_report  # noqa: PLC0415
    from thinsim.node.stack.walking import stack_of  # noqa: PLC0415

    root = path.parent if wanted and path.is_file() else path
    stack = await stack_of(root)
    trials = await probe(root, stack, size, note) if wanted else None
    return heights_report(path, stack.heights, trials)


def _print(report: "HeightsReport") -> None:
    from thinsim.node.stack.table import (  # noqa: PLC0415
        heights_table,
        probe_summary,
        summary,
        trial_summary,
        trial_table,
    )

    print_table(heights_table(report.heights))
    for sentence in summary(report):
        print_words(sentence)
    if report.probe is None:
        return
    for trial in report.probe.trials:
        print_words("")
        print_table(trial_table(report.heights, trial))
        print_words(trial_summary(report.heights, trial))
    for sentence in probe_summary(report.probe):
        print_words(sentence)
