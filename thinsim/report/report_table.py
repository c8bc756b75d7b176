"""`print_report` prints a report at a terminal: phases against runs, leaks and asserts."""

from rich.console import Console
from rich.text import Text

from thinsim.report.document import Report, VariantRun
from thinsim.report.environment import data_plane_text
from thinsim.report.phase_table import print_runs, times
from thinsim.report.whole_words import print_words
from thinsim.units import format_size


def print_report(console: Console, report: Report) -> None:
    """Print *report* as ``thinsim run`` and ``thinsim reproduce`` do."""
    print_words(console, _heading(report))
    for text in report.cut_short_lines:
        print_words(console, text, "bold red")
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
    words = " ".join([times(report.seconds), *data_plane_text(report.environment)])
    print_words(console, f"\n{words}", "dim")


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
        print_words(console, f"\n{run.name}: {held} of {len(run.outcomes)} asserts hold", "bold")
    for outcome in run.outcomes:
        mark, style = ("ok  ", "green") if outcome.held else ("FAIL", "bold red")
        line = Text.assemble((mark, style), f" {outcome.phase}: {outcome.asserted}")
        if not outcome.held:
            line.append(f"; found {outcome.found}")
        if outcome.why:
            line.append(f" ({outcome.why})", style="dim")
        print_words(console, line)
