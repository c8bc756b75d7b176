"""`print_runs` prints the two tables of every report: phases against runs, and leaks by owner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.measure.attribution import Leak
from thinsim.measure.sample import StepSample
from thinsim.report.columns import Group, lay_out
from thinsim.report.leak_words import leak_parts
from thinsim.report.whole_words import print_table, print_words
from thinsim.rig.host_file import MEASURED
from thinsim.units import format_size

_COLUMNS = ("pool used", "pool freed", "host freed", "leaked")
_LEGEND = (
    "pool: whole data blocks; host: bytes allocated in the data file, which are fewer if a block is "
    "partly written"
)
_RULES = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")
"""Rules below the headings and between sections."""
_PRINTED = {"stand-up": "set-up", "tear-down": "clean-up"}
"""The printed names of two parts of a run; documents keep the keys for the sake of their readers."""


@dataclass(frozen=True, slots=True)
class Column:
    """A `Column` is one of the runs that a table compares."""

    name: str
    samples: Sequence[StepSample]
    leaks: Sequence[Leak]
    fs_type: str = ""
    """The type of the file systems in the snapshots; empty if it is simulated."""
    cut_short: bool = False

    @property
    def leaked(self) -> int:
        """Return the number of bytes leaked at the end."""
        return sum(leak.bytes for leak in self.leaks)


def print_runs(
    console: Console,
    phases: Sequence[str],
    columns: Sequence[Column],
    block_bytes: int,
    freed_bytes: str = "",
) -> None:
    """Print the phase table and each run's leaks; runs are side by side if the console is wide enough.

    *freed_bytes* is the way in which freed host bytes were counted, in words.
    """
    groups = [Group(column.name, _COLUMNS, _rows(column, phases, block_bytes)) for column in columns]
    first = ["phase", *phases, "in all"]
    side_by_side = lay_out(first, groups)
    if max(map(len, side_by_side)) <= console.width:
        for line in side_by_side:
            console.print(Text(line), soft_wrap=True)
    else:
        for group in groups:
            console.print()
            print_table(console, _one_run(first, group))
    print_words(console, f"\n{_LEGEND}", "dim")
    if freed_bytes not in ("", MEASURED):
        print_words(console, f"host freed: {freed_bytes}", "dim")
    for column in columns:
        console.print()
        _print_leaks(console, column)
        for text in leak_parts(column.leaks, column.fs_type):
            print_words(console, text)
        kept = column.samples[-1].host_kept if column.samples else 0
        if kept:
            print_words(
                console,
                f"the host also keeps {format_size(kept)} ({kept} bytes) that nothing needs: its own "
                "allocation units are partly in use",
            )


def _rows(column: Column, phases: Sequence[str], block_bytes: int) -> list[list[str]]:
    return [*(phase_cells(column.samples, phase, block_bytes) for phase in phases), _totals(column)]


def _one_run(first: Sequence[str], group: Group) -> Table:
    """Return the table of one run, for a console that has no room for all runs side by side."""
    table = Table(
        title=Text(group.heading),
        title_style="bold",
        box=_RULES,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    heading, *names = first
    table.add_column(heading)
    for column in group.columns:
        table.add_column(column, justify="right")
    for name, row in zip(names, group.rows, strict=True):
        if name is names[-1]:
            table.add_section()
        table.add_row(Text(name), *row)
    return table


def phase_cells(samples: Sequence[StepSample], phase: str, block_bytes: int) -> list[str]:
    """Return the cells of *phase*, in the order of the columns; they are empty if it has no step."""
    of_phase = [sample for sample in samples if sample.phase == phase]
    if not of_phase:
        return ["", "", "", ""]
    last = of_phase[-1]
    return [
        format_size(last.pool_used_blocks * block_bytes),
        format_size(sum(sample.pool_freed for sample in of_phase)),
        format_size(sum(sample.host_freed for sample in of_phase)),
        format_size(last.leaked - _leaked_before(samples, phase)),
    ]


def times(seconds: dict[str, float]) -> str:
    """Return a line with the time of each part of the run, longest first."""
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    where = ", ".join(f"{_PRINTED.get(name, name)} {spent:.1f}" for name, spent in parts if spent >= 0.05)
    return f"Time: {_time(sum(seconds.values()))}" + (f" ({where})" if where else "")


def _time(seconds: float) -> str:
    """Return *seconds* with as many digits as a reader needs."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 0.95 else f"{seconds:.0f} s"


def _totals(column: Column) -> list[str]:
    return [
        "",
        format_size(sum(sample.pool_freed for sample in column.samples)),
        format_size(sum(sample.host_freed for sample in column.samples)),
        format_size(column.leaked),
    ]


def _leaked_before(samples: Iterable[StepSample], phase: str) -> int:
    leaked = 0
    for sample in samples:
        if sample.phase == phase:
            break
        leaked = sample.leaked
    return leaked


def _print_leaks(console: Console, column: Column) -> None:
    title = f"{column.name}: {format_size(column.leaked)} leaked ({column.leaked} bytes)"
    if not column.leaks and column.cut_short:
        print_words(console, f"{title} when the run was cut short", "bold")
        return
    if not column.leaks:
        kept = column.samples[-1].host_kept if column.samples else 0
        freed = "was punched out of the host's file" if kept else "is free on the host"
        print_words(console, f"{title}: every block that the pool freed {freed}", "bold")
        return
    table = Table(title=Text(title), title_style="bold", box=None, pad_edge=False)
    for heading in ("snapshot", "thin id", "blocks", "bytes", "why"):
        table.add_column(heading, justify="left" if heading in ("snapshot", "why") else "right")
    for leak in column.leaks:
        owner = leak.owner
        table.add_row(
            Text(owner.snapshot), str(owner.thin_id), str(leak.blocks), str(leak.bytes), Text(owner.reason)
        )
    print_table(console, table)
