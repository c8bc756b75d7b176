"""``python -m benchmarks.thin_growth`` measures emulated thin devices as their number and mappings grow.

It needs root, fio and thin_restore. All devices of a step are active, and fio uses all of them at once. The
mapped blocks are written into the metadata before the pool is opened; their data are holes of a sparse file.
10^7 blocks are 640 GB. It ends with status 130 after Ctrl-C or SIGTERM; it prints and writes what was
measured until then.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import early_end
from benchmarks.backing_rows import MIB, TURNS, UnsupportedError
from benchmarks.growth_steps import Figures, GrowthSizes, measure_devices, measure_mapped
from benchmarks.turns import INTERRUPTION, output_options, write
from benchmarks.turns_table import console_for_results, short
from thinsim.benchmark.rounds import awake_processors
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED
from thinsim.errors import ThinsimError
from thinsim.report.environment import environment

DEVICES = (1, 8, 64)
MAPPED = (10**3, 10**4, 10**5, 10**6, 10**7, 3 * 10**7)
"""A table has 4 bytes per block, and all tables together at most 64 MiB: the last does not fit."""
QUICK_DEVICES, QUICK_MAPPED = (1, 3), (10**3, 2 * 10**4)
QUICK = GrowthSizes(0.2, 48 * MIB)

PANELS = {
    "requests of 4 KiB per second": ("random_write", "random_read", "random_read_alone"),
    "ratio to a plain loop device": ("random_write_ratio", "random_read_ratio", "random_read_alone_ratio"),
    "MiB": ("daemon_mib", "grown_mib"),
}
"""The figures over mapped blocks that share a panel of the plot, by their unit."""


@dataclass(slots=True)
class GrowthResults:
    """`GrowthResults` have a row per step, and the reason why steps are missing, if any are."""

    devices: list[Figures] = field(default_factory=list)
    mapped: list[Figures] = field(default_factory=list)
    cut_short: str | None = None

    def to_json(self, around: Mapping[str, object], sizes: GrowthSizes) -> dict[str, object]:
        """Return the document that ``--json`` writes."""
        cut = {"cut_short": self.cut_short} if self.cut_short else {}
        measured = {"devices": self.devices, "mapped": self.mapped}
        return {"environment": around, "turns": TURNS, "seconds": sizes.seconds, **cut, **measured}


@click.command(help=__doc__)
@click.option("--devices", multiple=True, type=click.IntRange(1, 512), help="Numbers of devices to measure.")
@click.option("--mapped", multiple=True, type=click.IntRange(1000, 10**8), help="Numbers of mapped blocks.")
@click.option("--seconds", default=1.0, show_default=True, help="Seconds of each turn.")
@click.option("--quick", is_flag=True, help="Use small sizes: check that the benchmark works.")
@click.option("--dir", "base", type=click.Path(path_type=Path, exists=True), help="Directory for the files.")
@output_options
def main(
    devices: tuple[int, ...],
    mapped: tuple[int, ...],
    seconds: float,
    quick: bool,
    base: Path | None,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    if not devices and not mapped:
        devices, mapped = (QUICK_DEVICES, QUICK_MAPPED) if quick else (DEVICES, MAPPED)
    results = GrowthResults()
    sizes = QUICK if quick else GrowthSizes(seconds)
    with early_end.heeding_signals(), tempfile.TemporaryDirectory(prefix="thinsim-bench-", dir=base) as name:
        directory = Path(name)
        with awake_processors() as awake:
            around = {**environment(directory), "processors_kept_awake": awake}
            try:
                _measure("devices", devices, measure_devices, directory, sizes, results.devices)
                _measure("mapped blocks", mapped, measure_mapped, directory, sizes, results.mapped)
            except early_end.EndedEarlyError:
                results.cut_short = INTERRUPTION
            except (ThinsimError, OSError, RuntimeError, UnsupportedError) as error:
                results.cut_short = INTERRUPTION if early_end.heard() else str(error)
    _print(results)
    write(results.to_json(around, sizes), json_path)
    if plot_path is not None and results.mapped:
        plot(results.mapped, plot_path)
    if results.cut_short is not None:
        click.echo(f"cut short: {results.cut_short}", err=True)
        sys.exit(INTERRUPTED if results.cut_short == INTERRUPTION else FAILED)
    sys.exit(DONE)


def _measure(
    what: str,
    numbers: Sequence[int],
    measure: Callable[[int, Path, GrowthSizes], Figures],
    directory: Path,
    sizes: GrowthSizes,
    into: list[Figures],
) -> None:
    notes = Console(stderr=True, highlight=False)
    for place, number in enumerate(numbers):
        early_end.check()
        notes.print(f"[{place + 1}/{len(numbers)}] {what}: {number:,}", markup=False)
        own = directory / f"{what.split(maxsplit=1)[0]}-{number}"
        into.append(measure(number, own, sizes))
        # The files of the steps before would fill the disk.
        subprocess.run(["rm", "-rf", str(own)], check=True, process_group=0)


def plot(mapped: Sequence[Figures], path: Path) -> None:
    """Draw the figures over the number of mapped blocks."""
    from thinsim.benchmark.chart import growth_chart  # noqa: PLC0415 -- takes seconds

    growth_chart(mapped, "mapped_blocks", PANELS, "A thin device as its mappings grow", path)


def _print(results: GrowthResults) -> None:
    console = console_for_results()
    for rows in filter(None, (results.devices, results.mapped)):
        along, *others = [key for key in rows[0] if not key.endswith(("_plain", "_ratio", "_low", "_high"))]
        title = "sums over all devices, and median ratios to plain loop devices"
        table = Table(along.replace("_", " "), box=None, title=title, title_justify="left")
        for name in others:
            table.add_column(name.replace("_", " "), justify="right")
        for row in rows:
            table.add_row(f"{row[along]:,.0f}", *(_cell(row, name) for name in others))
        console.print(table)


def _cell(row: Figures, name: str) -> str:
    ratio = row.get(f"{name}_ratio")
    if ratio is None:
        return short(row[name])
    low, high = row[f"{name}_ratio_low"], row[f"{name}_ratio_high"]
    return f"{short(row[name])}  {ratio:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
