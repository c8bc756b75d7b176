"""A reproduction for people: phases against settings, then every leak with its owner and reason."""

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from thinsim.measure.sample import StepSample
from thinsim.report.columns import Group, lay_out
from thinsim.scenario.container_lifecycle import LifecycleResult, Phase
from thinsim.scenario.reproduce import Reproduction
from thinsim.units import format_size


def print_to(console: Console, result: Reproduction) -> None:
    """Print what ``thinsim reproduce`` shows."""
    console.print(
        f"{result.image}: {result.layers} layers; a container that writes "
        f"{format_size(result.container_bytes)}; subject {result.subject}, rig {result.rig}; data blocks of "
        f"{format_size(result.shape.block_bytes)}\n",
        highlight=False,
    )
    for line in _phases(result, console.width):
        console.print(Text(line), soft_wrap=True)
    console.print(
        "\npool: whole data blocks; host: bytes allocated in the data file, which a partly written block "
        "has fewer of",
        style="dim",
        highlight=False,
    )
    for run in result.runs:
        console.print()
        console.print(_leaks(run))
    console.print(f"\n{_times(result)}", style="dim", highlight=False, soft_wrap=True)


def _phases(result: Reproduction, width: int) -> list[str]:
    """Return the phase table: the settings side by side if *width* is enough, else one below the other."""
    groups = [
        Group(
            run.setting.name,
            ("pool used", "pool freed", "host freed", "leaked"),
            [*(_cells(run.samples, phase, result.shape.block_bytes) for phase in Phase.ALL), _totals(run)],
        )
        for run in result.runs
    ]
    first = ["phase", *Phase.ALL, "in all"]
    lines = lay_out(first, groups)
    if max(len(line) for line in lines) <= width:
        return lines
    return [line for group in groups for line in ("", *lay_out(first, [group]))]


def _cells(samples: Sequence[StepSample], phase: str, block_bytes: int) -> list[str]:
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


def _totals(run: LifecycleResult) -> list[str]:
    return [
        "",
        format_size(sum(sample.pool_freed for sample in run.samples)),
        format_size(sum(sample.host_freed for sample in run.samples)),
        format_size(sum(leak.bytes for leak in run.leaks)),
    ]


def _leaked_before(samples: Iterable[StepSample], phase: str) -> int:
    leaked = 0
    for sample in samples:
        if sample.phase == phase:
            break
        leaked = sample.leaked
    return leaked


def _leaks(run: LifecycleResult) -> RenderableType:
    total = sum(leak.bytes for leak in run.leaks)
    title = f"{run.setting.name}: {format_size(total)} leaked ({total} bytes)"
    if not run.leaks:
        return Text(f"{title}: every block that the pool freed went back to the host", style="bold")
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("snapshot")
    table.add_column("thin id", justify="right")
    table.add_column("blocks", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("why")
    for leak in run.leaks:
        owner = leak.owner
        table.add_row(owner.snapshot, str(owner.thin_id), str(leak.blocks), str(leak.bytes), owner.reason)
    return table


def _times(result: Reproduction) -> str:
    total = sum(result.seconds.values())
    parts = sorted(result.seconds.items(), key=lambda item: -item[1])
    where = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts if seconds >= 0.05)
    return f"Time: {total:.0f} s ({where})"
