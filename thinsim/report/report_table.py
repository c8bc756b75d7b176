"""`print_report` prints a report at a terminal: phases against runs, leaks and asserts."""

from rich.console import Console
from rich.text import Text

from thinsim.report.document import Report, VariantRun
from thinsim.report.phase_table import is_log, print_runs, times
from thinsim.units import format_size


def print_report(console: Console, report: Report) -> None:
    """Print *report* as ``thinsim run`` and ``thinsim reproduce`` do."""
    console.print(_heading(report), highlight=False, markup=False)
    for text in report.cut_short_lines:
        console.print(Text(text, style="bold red"), soft_wrap=True)
    if report.cut_short is not None:
        console.print()
    freed = report.environment.get("freed bytes", "")
    print_runs(console, report.phases, report.columns, report.pool.block_bytes, freed)
    for run in report.runs:
        _print_outcomes(console, run)
    if report.reproduction is not None and report.reproduction.config_toml:
        console.print(
            f"\nconfig.toml for this set-up:\n\n{report.reproduction.config_toml}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"\n{times(report.seconds)}", style="dim", highlight=False, soft_wrap=is_log(console))


def _heading(report: Report) -> str:
    blocks = f"data blocks of {format_size(report.pool.block_bytes)}\n"
    work = report.reproduction
    if work is None:
        return f"{report.title}; rig {report.rig}; {blocks}"
    set_up = f"set-up {work.setup}, " if work.setup else ""
    return f"{report.title}; subject {work.subject}, rig {report.rig}, {set_up}Linux {work.kernel}; {blocks}"


def _print_outcomes(console: Console, run: VariantRun) -> None:
    if run.outcomes:
        held = sum(outcome.held for outcome in run.outcomes)
        console.print(
            Text(f"\n{run.name}: {held} of {len(run.outcomes)} asserts hold", style="bold"),
            soft_wrap=is_log(console),
        )
    for outcome in run.outcomes:
        mark, style = ("ok  ", "green") if outcome.held else ("FAIL", "bold red")
        line = Text.assemble((mark, style), f" {outcome.phase}: {outcome.asserted}")
        if not outcome.held:
            line.append(f"; found {outcome.found}")
        if outcome.why:
            line.append(f" ({outcome.why})", style="dim")
        console.print(line, soft_wrap=is_log(console))
