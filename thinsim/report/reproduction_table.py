"""A reproduction for people: phases against settings, then every leak with its owner and reason."""

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from thinsim.measure.sample import StepSample
from thinsim.scenario.container_lifecycle import LifecycleResult, Phase
from thinsim.scenario.reproduce import Reproduction
from thinsim.units import format_size


def render(result: Reproduction) -> RenderableType:
    """Return what ``thinsim reproduce`` prints."""
    parts: list[RenderableType] = [_phases(result)]
    for run in result.runs:
        parts += [Text(), _leaks(run)]
    parts += [Text(), _times(result)]
    return Group(*parts)


def print_to(console: Console, result: Reproduction) -> None:
    """Print the tables."""
    console.print(render(result))


def _phases(result: Reproduction) -> Table:
    table = Table(
        title=f"{result.layers} layers ({result.image}), a container that writes "
        f"{format_size(result.container_bytes)}, rig {result.rig}, data blocks of "
        f"{format_size(result.shape.block_bytes)}",
        title_justify="left",
        title_style="",
        header_style="bold",
    )
    table.add_column("phase")
    for run in result.runs:
        table.add_column(f"{run.setting.name}\npool used", justify="right")
        table.add_column("\npool freed", justify="right")
        table.add_column("\nhost freed", justify="right")
        table.add_column("\nleaked", justify="right")
    for phase in Phase.ALL:
        row = [phase]
        for run in result.runs:
            samples = [sample for sample in run.samples if sample.phase == phase]
            row += _cells(samples, result.shape.block_bytes, _leaked_before(run.samples, phase))
        table.add_row(*row)
    table.add_section()
    totals = ["in all"]
    for run in result.runs:
        totals += _cells(run.samples, result.shape.block_bytes, 0)
    table.add_row(*totals, style="bold")
    return table


def _cells(samples: Sequence[StepSample], block_bytes: int, leaked_before: int) -> list[str]:
    if not samples:
        return ["", "", "", ""]
    last = samples[-1]
    return [
        format_size(last.pool_used_blocks * block_bytes),
        format_size(sum(sample.pool_freed for sample in samples)),
        format_size(sum(sample.host_freed for sample in samples)),
        format_size(last.leaked - leaked_before),
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
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name, justify in (
        ("snapshot", "left"),
        ("thin id", "right"),
        ("blocks", "right"),
        ("bytes", "right"),
        ("why", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for leak in run.leaks:
        owner = leak.owner
        table.add_row(owner.snapshot, str(owner.thin_id), str(leak.blocks), str(leak.bytes), owner.reason)
    return table


def _times(result: Reproduction) -> Text:
    total = sum(result.seconds.values())
    parts = sorted(result.seconds.items(), key=lambda item: -item[1])
    where = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts if seconds >= 0.05)
    return Text(f"{total:.0f} s: {where}", style="dim")
