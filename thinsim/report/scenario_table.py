"""`print_report` prints a report at a terminal: phases against variants, leaks and asserts."""

from rich.console import Console
from rich.text import Text

from thinsim.report.document import Report
from thinsim.report.phase_table import print_runs, times
from thinsim.units import format_size


def print_report(console: Console, report: Report) -> None:
    """Print *report* as ``thinsim run`` does."""
    console.print(
        f"{report.title}; rig {report.rig}; data blocks of {format_size(report.pool.block_bytes)}\n",
        highlight=False,
        markup=False,
    )
    freed = report.environment.get("freed bytes", "")
    print_runs(console, report.phases, report.columns, report.pool.block_bytes, freed)
    for run in report.runs:
        if run.outcomes:
            held = sum(outcome.held for outcome in run.outcomes)
            console.print(
                Text(f"\n{run.name}: {held} of {len(run.outcomes)} asserts hold", style="bold"),
                soft_wrap=True,
            )
        for outcome in run.outcomes:
            mark, style = ("ok  ", "green") if outcome.held else ("FAIL", "bold red")
            line = Text.assemble((mark, style), f" {outcome.phase}: {outcome.asserted}")
            if not outcome.held:
                line.append(f"; found {outcome.found}")
            if outcome.why:
                line.append(f" ({outcome.why})", style="dim")
            console.print(line, soft_wrap=True)
    console.print(f"\n{times(report.seconds)}", style="dim", highlight=False, soft_wrap=True)
