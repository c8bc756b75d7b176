"""``thinsim conformance heights`` looks at one discard from the thin device down to the host."""

import json
from pathlib import Path

import click

from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.statuses import DIFFERS, DONE
from thinsim.conformance.heights.cases import MeasuredHeights, Unlike, chosen, compare_heights, to_json
from thinsim.conformance.heights.subjects import measure_on, read_heights, recorded_heights, write_heights
from thinsim.conformance.heights.table import difference_lines, table
from thinsim.conformance.subjects.subject import Side


@click.command()
@click.option(
    "--on",
    "side",
    type=click.Choice([Side.EMULATED.value, Side.KERNEL.value, Side.VM.value]),
    default=Side.EMULATED.value,
    show_default=True,
    help="Whose dm-thin: the emulated one, this kernel's, a guest's.",
)
@click.option("--kernel", metavar="RELEASE", help="What a guest boots: a release or an image.")
@click.option("--only", metavar="CASE", multiple=True, help="This case alone; may be repeated.")
@click.option(
    "--against",
    "paths",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Compare with this recording; may be repeated. Default: those that come along.",
)
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="Keep the answers there.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Where the pool's files go. Default: the temporary directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: these answers, then the recordings.")
def heights(
    side: str,
    kernel: str | None,
    only: tuple[str, ...],
    paths: tuple[Path, ...],
    to: Path | None,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Show what a discard becomes at each height below the thin device, and where kernels differ.

    Discards from 4 KiB to the whole device, at a block's begin and beside it, of blocks that are mapped,
    sparse, or shared: requests at the thin device, at the pool's data device and at the store, and what
    pool and host got back. Exits 6 if recorded kernels had other bytes or blocks; the same bytes in
    another number of requests are told, and count as equal.
    """
    wanted = chosen(only)
    found = run_interruptible(
        lambda: measure_on(Side(side), wanted, _say, directory=directory, kernel=kernel)
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


def _say(text: str) -> None:
    click.echo(text, err=True)
