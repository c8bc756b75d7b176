"""`print_runs` prints the two tables of every report: phases against runs, and leaks by owner."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from thinsim.measure.attribution import Leak
from thinsim.measure.sample import StepSample
from thinsim.report.columns import Group, lay_out, lay_out_narrow
from thinsim.report.leak_words import leak_parts
from thinsim.report.whole_words import WholeWords
from thinsim.rig.host_file import MEASURED
from thinsim.units import format_size

_COLUMNS = ("pool used", "pool freed", "host freed", "leaked")
_LEGEND = (
    "pool: whole data blocks; host: bytes allocated in the data file, which are fewer if a block is "
    "partly written"
)
_PRINTED = {"stand-up": "set-up", "tear-down": "clean-up"}
"""The printed names of two parts of a run; documents keep the keys for the sake of their readers."""


@dataclass(frozen=True, slots=True)
class Column:
    """A `Column` is one of the runs that a table compares."""

    name: str
    samples: Sequence[StepSample]
    leaks: Sequence[Leak]
    files: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the files in each snapshot, where they are known."""
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
    for line in phase_lines(phases, columns, block_bytes, console.width):
        console.print(Text(line), soft_wrap=True)
    console.print(f"\n{_LEGEND}", style="dim", highlight=False)
    if freed_bytes not in ("", MEASURED):
        console.print(
            f"host freed: {freed_bytes}",
            style="dim",
            highlight=False,
            markup=False,
            soft_wrap=is_log(console),
        )
    for column in columns:
        console.print()
        console.print(_leaks(column), crop=False)
        for text in leak_parts(column.leaks, column.files):
            console.print(text, highlight=False, markup=False, soft_wrap=is_log(console))
        kept = column.samples[-1].host_kept if column.samples else 0
        if kept:
            console.print(
                f"the host also keeps {format_size(kept)} ({kept} bytes) that nothing needs: its own "
                "allocation units are partly in use",
                highlight=False,
                soft_wrap=is_log(console),
            )


def is_log(console: Console) -> bool:
    """Return whether *console* is a file or a pipe, where a line has no end that would break a word."""
    return not console.is_terminal


def phase_lines(phases: Sequence[str], columns: Sequence[Column], block_bytes: int, width: int) -> list[str]:
    """Return the phase table, with the runs side by side if *width* is enough, else one below the other."""
    groups = [
        Group(
            column.name,
            _COLUMNS,
            [*(phase_cells(column.samples, phase, block_bytes) for phase in phases), _totals(column)],
        )
        for column in columns
    ]
    first = ["phase", *phases, "in all"]
    lines = lay_out(first, groups)
    if max(len(line) for line in lines) <= width:
        return lines
    tables = [lay_out(first, [group]) for group in groups]
    if max(len(line) for table in tables for line in table) > width:
        tables = [lay_out_narrow(first, group, width) for group in groups]
    return [line for table in tables for line in ("", *table)]


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


def _leaks(column: Column) -> RenderableType:
    title = f"{column.name}: {format_size(column.leaked)} leaked ({column.leaked} bytes)"
    if not column.leaks and column.cut_short:
        return Text(f"{title} when the run was cut short", style="bold")
    if not column.leaks:
        kept = column.samples[-1].host_kept if column.samples else 0
        freed = "was punched out of the host's file" if kept else "is free on the host"
        return Text(f"{title}: every block that the pool freed {freed}", style="bold")
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("snapshot")
    table.add_column("thin id", justify="right")
    table.add_column("blocks", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("why")
    for leak in column.leaks:
        owner = leak.owner
        table.add_row(
            Text(owner.snapshot), str(owner.thin_id), str(leak.blocks), str(leak.bytes), Text(owner.reason)
        )
    return WholeWords(table)
