"""``thinsim baseline save`` and ``thinsim ci``: keep what a run measured, and compare later runs with it."""

import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from fuse_backing.errors import FuseBackingError
from thinsim.cli.bench import clean_up_after_killed_runs, rig_for_scenarios, run_found
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import notes_console, output_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.rig_option import rig_option
from thinsim.cli.size import SIZE, UNITS
from thinsim.cli.statuses import BROKEN, LEAKED, SLOWER
from thinsim.errors import BenchError, InvalidValueError, ThinsimError
from thinsim.measure.machine_speed import reference_seconds
from thinsim.regression.baseline import Baseline, ScenarioBaseline, measured, read
from thinsim.regression.comparison import FAILURES, ChangeKind, Comparison, compare, differences
from thinsim.regression.markdown import could_not_run, markdown
from thinsim.report.environment import environment
from thinsim.report.junit import Case, document
from thinsim.scenario.file.library import FoundScenario, find
from thinsim.scenario.file.rigs import RIGS
from thinsim.scenario.guest_work import RIG as VM
from thinsim.vm.guest_script import SCRATCH

_STATUSES = {ChangeKind.LEAK: LEAKED, ChangeKind.BROKEN: BROKEN, ChangeKind.SLOWER: SLOWER}
_RIG = rig_option([*RIGS, VM])
_ROUNDS = click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often each is run."
)
_DIRECTORY = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Where the pool's files go."
)


@click.group()
def baseline() -> None:
    """What scenarios measured, stored to compare later runs with (thinsim ci)."""


@baseline.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=scenario_names)
@click.option(
    "--output",
    "-o",
    type=OutputPath(),
    required=True,
    help="The file to write.",
)
@_RIG
@_ROUNDS
@_DIRECTORY
def save(scenarios: tuple[str, ...], output: Path, rig: str, rounds: int, directory: Path | None) -> None:
    """Run each SCENARIO a few times and store what it leaks and what its discards cost."""
    now = _run_all([find(name) for name in scenarios], rig, rounds, directory)
    stored = Baseline(environment=environment(directory), scenarios=now)
    output.write_text(stored.model_dump_json(indent=1) + "\n")
    click.echo(f"{output}: {len(now)} scenarios, {rounds} rounds each", err=True)
    for each in now:
        for variant in each.variants:
            for broken in variant.broken:
                click.echo(f"{each.name}: {variant.name}: taken as it is: does not hold: {broken}", err=True)


@click.command(epilog=UNITS)
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...", shell_complete=scenario_names)
@click.option(
    "--baseline",
    "baseline_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What thinsim baseline save wrote.",
)
@click.option(
    "--speed-tolerance",
    type=click.FloatRange(1.0, min_open=True),
    default=1.5,
    show_default=True,
    help="The ratio of discard costs, now against then, that is still no regression.",
)
@click.option(
    "--leak-tolerance",
    type=SIZE,
    default="0",
    show_default=True,
    metavar="BYTES",
    help="So much more is no regression in a variant that leaks in the baseline.",
)
@click.option("--junit", "junit_path", type=OutputPath(), help="Write JUnit XML here.")
@click.option("--markdown", "markdown_path", type=OutputPath(), help="Write a summary here.")
@click.option("--json", "json_path", type=OutputPath(), help="Write what was measured here.")
@_RIG
@_ROUNDS
@_DIRECTORY
def ci(
    scenarios: tuple[str, ...],
    baseline_path: Path,
    speed_tolerance: float,
    leak_tolerance: int,
    junit_path: Path | None,
    markdown_path: Path | None,
    json_path: Path | None,
    rig: str,
    rounds: int,
    directory: Path | None,
) -> int:
    """Run each SCENARIO (by default those of the baseline) and compare with the baseline.

    Leaks are compared to the byte: more than the baseline's rounds ever leaked is a regression. The cost
    of discards is the shortest of the rounds against a fixed work on the machine, so that a slower machine
    is none. Exits 3 for a leak, 4 for an assert that no longer holds, 5 for slower discards; the first of
    these that happened.
    """
    if math.isnan(speed_tolerance):
        raise click.BadParameter("nan is no ratio", param_hint="--speed-tolerance")
    if not baseline_path.exists():
        raise click.UsageError(
            f"there is no {baseline_path}; make it: thinsim baseline save SCENARIO... -o {baseline_path}"
        )
    then = read(baseline_path.read_text(errors="replace"), str(baseline_path))
    found = [find(name) for name in scenarios or [each.name for each in then.scenarios]]
    begun = time.time()
    try:
        now = _run_all(found, rig, rounds, directory)
    except (ThinsimError, FuseBackingError, OSError) as error:
        name = error.scenario if isinstance(error, _ScenarioFailedError) else "thinsim ci"
        why = str(error.__cause__ if isinstance(error, _ScenarioFailedError) else error)
        if markdown_path is not None:
            markdown_path.write_text(could_not_run(name, why))
        if junit_path is not None:
            junit_path.write_text(document([(name, begun, [Case("ran", error=why)])]))
        raise
    comparisons = [
        compare(each, then.find(each.name), tolerance=speed_tolerance, leak_tolerance=leak_tolerance)
        for each in now
    ]
    here = environment(directory)
    others = differences(here, then.environment)
    _show(output_console(), comparisons, others)
    if markdown_path is not None:
        text = markdown(
            comparisons, tolerance=speed_tolerance, leak_tolerance=leak_tolerance, differences=others
        )
        markdown_path.write_text(text)
    if junit_path is not None:
        junit_path.write_text(document((each.now.name, begun, _cases(each)) for each in comparisons))
    if json_path is not None:
        stored = Baseline(environment=here, scenarios=now)
        json_path.write_text(stored.model_dump_json(indent=1) + "\n")
    kinds = {change.kind for each in comparisons for change in each.failures}
    return min((_STATUSES[kind] for kind in kinds), default=0)


class _ScenarioFailedError(BenchError):
    """A scenario could not be run to its end."""

    def __init__(self, scenario: str, why: Exception) -> None:
        super().__init__(str(why))
        self.scenario = scenario


def _run_all(
    found: Sequence[FoundScenario], rig: str, rounds: int, directory: Path | None
) -> list[ScenarioBaseline]:
    """Run every scenario once in each round, so that what disturbs the machine for a while strikes all."""
    if len({each.name for each in found}) < len(found):
        raise InvalidValueError("a scenario is named twice")
    if rig == VM:
        # Each run in a guest of its own would be compared with what this machine can, and boot for minutes.
        raise InvalidValueError(
            "--rig vm: run the whole command in a guest: thinsim vm run --share . -- thinsim ... "
            f"--rig kernel --dir {SCRATCH}"
        )
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig, directory, notes)
    reports, references = [], []
    where = directory or Path(tempfile.gettempdir())
    for number in range(1, rounds + 1):
        for each in found:
            notes.print(f"round {number} of {rounds}: {each.name}", highlight=False, markup=False)
            references.append(reference_seconds(where))
            try:
                reports.append(run_found(each, choice.rig, notes, directory=directory))
            except (ThinsimError, FuseBackingError, OSError) as error:
                raise _ScenarioFailedError(each.name, error) from error
    return [measured(reports[number :: len(found)], min(references)) for number in range(len(found))]


def _show(console: Console, comparisons: Sequence[Comparison], others: Sequence[str]) -> None:
    for each in comparisons:
        variants = ", ".join(f"{variant.name} leaks {variant.most_leaked}" for variant in each.now.variants)
        verdict = Text("FAIL", "bold red") if each.failures else Text("ok  ", "green")
        console.print(verdict, Text(f"{each.now.name} on {each.now.rig}: {variants}"), soft_wrap=True)
        for change in each.changes:
            where = f"{change.variant}: " if change.variant else ""
            style = (
                "red" if change.kind in FAILURES else "green" if change.kind is ChangeKind.BETTER else "dim"
            )
            console.print(Text(f"     {change.kind}: {where}{change.text}", style), soft_wrap=True)
    for text in others:
        console.print(Text(f"environment: {text}", "dim"), soft_wrap=True)


def _cases(comparison: Comparison) -> list[Case]:
    return [
        Case(
            f"{variant.name}: {kind}",
            "; ".join(
                change.text
                for change in comparison.failures
                if change.kind is kind and change.variant == variant.name
            ),
        )
        for variant in comparison.now.variants
        for kind in FAILURES
    ]
