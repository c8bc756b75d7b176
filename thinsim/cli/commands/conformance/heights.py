"""``thinsim conformance heights`` follows one discard from the thin device down to the host."""

import json
from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.rig_option import directory_option
from thinsim.cli.statuses import DIFFERS, DONE
from thinsim.conformance.heights.cases import MeasuredHeights, Unlike, chosen, compare_heights, to_json
from thinsim.conformance.heights.subjects import measure_on, read_heights, recorded_heights, write_heights
from thinsim.conformance.heights.table import difference_lines, table
from thinsim.conformance.subjects.subject import Side


@click.command(epilog=exit_status_help({DIFFERS: "bytes or blocks differ from those of a recorded kernel"}))
@click.option(
    "--on",
    "side",
    type=click.Choice([Side.EMULATED.value, Side.KERNEL.value, Side.VM.value]),
    default=Side.EMULATED.value,
    show_default=True,
    help="Choose the dm-thin. emulated: thinsim's. kernel: this machine's. vm: a guest's.",
)
@click.option("--kernel", metavar="RELEASE", help="Boot this kernel in the guest: a release or an image.")
@click.option("--only", metavar="CASE", multiple=True, help="Measure only this case; may be repeated.")
@click.option(
    "--against",
    "paths",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Compare with this recording; may be repeated. Default: those that come with thinsim.",
)
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="Write the answers to this file.")
@directory_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the new answers, then the recordings.")
@quiet_option
def heights(
    side: str,
    kernel: str | None,
    only: tuple[str, ...],
    paths: tuple[Path, ...],
    to: Path | None,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Show the requests that a discard causes at each height.

    The heights are the thin device, the pool's data device and the backing store. The discards are from
    4 KiB to the whole device, aligned to a block and not, on mapped, sparse and shared blocks. The table also
    shows the space that pool and host freed, and the differences to the recorded answers of kernels. The
    same bytes in another number of requests count as equal.
    """
    wanted = chosen(only)
    found = run_interruptible(
        lambda: measure_on(Side(side), wanted, note, directory=directory, kernel=kernel)
    )
    if to is not None:
        write_heights(to, found)
    recorded = [read_heights(path) for path in paths or recorded_heights()]
    unlike = {index: compare_heights(expected, found) for index, expected in enumerate(recorded)}
    if as_json:
        click.echo(json.dumps([to_json(found), *map(to_json, recorded)], indent=1))
    else:
        click.echo("\n".join(table(found)))
        for index, expected in enumerate(recorded):
            _report(expected, found, unlike[index])
    return DIFFERS if any(not each.in_count_alone for found in unlike.values() for each in found) else DONE


def _report(expected: MeasuredHeights, found: MeasuredHeights, unlike: list[Unlike]) -> None:
    compared = len(expected.answers.keys() & found.answers.keys())
    in_count = sum(each.in_count_alone for each in unlike)
    click.echo(
        f"\n{compared} discards compared with {expected.source}: {len(unlike) - in_count} differences in "
        f"bytes or blocks, {in_count} in the number of requests alone"
    )
    for line in difference_lines(expected, unlike):
        click.echo(f"  {line}")
