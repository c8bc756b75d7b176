"""``python -m benchmarks.thin`` compares an emulated thin device with a loop device and with its peers.

It needs root and fio. It skips a peer that is not installed, with a message. It ends with status 1 if a
contender fails, and with 130 after Ctrl-C or SIGTERM; it prints and writes what was measured until then.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from benchmarks import early_end, thin_goals
from benchmarks.thin_contenders import BY_PYTHON, CONTENDERS, PLAIN, PYTHON_ALONE
from benchmarks.thin_guest import measured_in_guest
from benchmarks.thin_rows import QUICK, SIZES, steps
from benchmarks.turns import INTERRUPTION, TurnedBenchmark, TurnResults, turned_options, write
from benchmarks.turns_table import console_for_results, in_words, print_results
from thinsim.cli.statuses import DONE, FAILED, INTERRUPTED


@click.command(help=__doc__)
@click.option("--python-alone", is_flag=True, help=f"Measure the contender '{BY_PYTHON}' as well.")
@click.option(
    "--guest",
    is_flag=True,
    help="Then measure the kernel's dm-thin beside a loop device in a guest (make setup-vm), in small sizes. "
    "Without KVM each round takes five minutes.",
)
@click.option("--check-goals", is_flag=True, help="End with status 1 if a median ratio misses its goal.")
@turned_options
def main(
    python_alone: bool,
    guest: bool,
    check_goals: bool,
    json_path: Path | None,
    plot_path: Path | None,
    **options: Any,
) -> None:
    contenders = (*CONTENDERS, PYTHON_ALONE) if python_alone else CONTENDERS
    benchmark = TurnedBenchmark(contenders, PLAIN, steps, SIZES, QUICK)
    status = DONE
    with early_end.heeding_signals():
        results = benchmark.measured(**options)
        document = results.to_json()
        goals = thin_goals.results(results.figures.to_json(PLAIN))
        _print(results, goals)
        if plot_path is not None:
            results.plot(plot_path)
        write(document, json_path)
        if guest and results.status == DONE:
            click.echo("the kernel's dm-thin, in a guest:", err=True)
            try:
                document["guest"] = measured_in_guest(options["rounds"], options["words"], options["base"])
            except early_end.EndedEarlyError:
                status, document["cut_short"] = INTERRUPTED, INTERRUPTION
            except RuntimeError as error:
                click.echo(str(error), err=True)
                status, document["cut_short"] = FAILED, str(error)
            write(document, json_path)
    if check_goals and any(each.missed for each in goals):
        click.echo("a goal was missed", err=True)
        status = status or FAILED
    sys.exit(results.status or status)


def _print(results: TurnResults, goals: Sequence[thin_goals.GoalResult]) -> None:
    print_results(results.figures, PLAIN, results.around, results.cut_short)
    known = [each for each in goals if each.ratio is not None]
    if not known:
        return
    title = "goals (?: the interval contains the goal)"
    columns = (
        "row",
        "ratio",
        "goal",
        "measured",
        "reached",
        "FUSE over io_uring",
        "reached",
        "no store",
        "limit",
    )
    table = Table(*columns, box=None, title=title, title_justify="left")
    for each in known:
        assert each.ratio is not None
        ratio = f"{each.goal.contender} / {each.goal.reference}"
        over = "-" if each.over_uring is None else in_words(each.over_uring)
        others = ("-" if other is None else in_words(other) for other in (each.no_store, each.limit))
        measured = in_words(each.ratio), each.verdict, over, each.verdict_over_uring, *others
        table.add_row(each.goal.row.name, ratio, f"{each.goal.least:g}", *measured)
    console_for_results().print(table)


if __name__ == "__main__":
    main()
