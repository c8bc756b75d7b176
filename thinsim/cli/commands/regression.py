"""``thinsim baseline save`` stores the results of scenarios; ``thinsim ci`` compares later runs with them."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from fuse_backing.errors import FuseBackingError
from fuse_backing.statuses import exit_status_help
from thinsim.cli.directory_option import directory_option
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.scenario_rounds import run_rounds
from thinsim.cli.size import SIZE, UNITS
from thinsim.cli.statuses import BROKEN, DONE, FAILED, LEAKED, SLOWER
from thinsim.errors import ThinsimError
from thinsim.regression.baseline import Baseline, read_baseline
from thinsim.regression.comparison import (
    FAILING_KINDS,
    BaselineComparison,
    ChangeKind,
    compare_with_baseline,
    differing_environment,
)
from thinsim.regression.markdown import could_not_run, markdown
from thinsim.report.environment import environment
from thinsim.report.junit import TestCase, document
from thinsim.rig.registry import rig_names
from thinsim.scenario.file.library import find_scenario

_STATUSES = {ChangeKind.LEAK: LEAKED, ChangeKind.BROKEN: BROKEN, ChangeKind.SLOWER: SLOWER}
_RIG = rig_option(rig_names())
_ROUNDS = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Run each scenario this many times.",
)


@click.group()
def baseline() -> None:
    """Store the leaks and discard costs of scenarios.

    thinsim ci compares later runs with the stored baseline.
    """


@baseline.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=scenario_names)
@click.option(
    "--output",
    "-o",
    type=OutputPath(),
    required=True,
    help="Write the baseline to this file.",
)
@_RIG
@_ROUNDS
@directory_option
@quiet_option
def save(scenarios: tuple[str, ...], output: Path, rig: str, rounds: int, directory: Path | None) -> None:
    """Run each SCENARIO several times and store the results."""
    ran = run_rounds([find_scenario(name) for name in scenarios], rig, rounds, directory)
    ran.raise_failures()
    now = ran.measured
    stored = Baseline(environment=environment(directory), scenarios=now)
    output.write_text(stored.model_dump_json(indent=1) + "\n")
    click.echo(f"Wrote {output}: {len(now)} scenarios, {rounds} rounds each", err=True)
    for each in now:
        for variant in each.variants:
            for broken in variant.broken:
                click.echo(
                    f"{each.name}: {variant.name}: an assert does not hold, and is stored so: {broken}",
                    err=True,
                )


@click.command(
    epilog=exit_status_help(
        {
            FAILED: "a scenario cannot run to its end",
            LEAKED: "a variant leaks more than the baseline",
            BROKEN: "an assert that held in the baseline does not hold",
            SLOWER: "discards are slower",
        }
    )
    + f" The first that applies counts.\n\n{UNITS}",
)
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...", shell_complete=scenario_names)
@click.option(
    "--baseline",
    "baseline_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Compare with this file, written by thinsim baseline save.",
)
@click.option(
    "--speed-tolerance",
    type=click.FloatRange(1.0, min_open=True),
    default=1.5,
    show_default=True,
    help="Accept discards that cost up to this many times as much as in the baseline.",
)
@click.option(
    "--leak-tolerance",
    type=SIZE,
    default="0",
    show_default=True,
    metavar="BYTES",
    help="Accept this many more leaked bytes in a variant that leaks in the baseline already.",
)
@click.option("--junit", "junit_path", type=OutputPath(), help="Write JUnit XML to this file.")
@click.option(
    "--markdown", "markdown_path", type=OutputPath(), help="Write a summary in Markdown to this file."
)
@click.option(
    "--json",
    "json_path",
    type=OutputPath(),
    help="Write the new results to this file, in the form of a baseline.",
)
@_RIG
@_ROUNDS
@directory_option
@quiet_option
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
    """Run scenarios and compare the results with a baseline.

    Without SCENARIO, the scenarios of the baseline run. A variant that leaks more bytes than in any round of
    the baseline is a regression. The cost of discards is that of the fastest round, relative to a fixed
    piece of work on the same machine, so a slower machine is no regression. If a scenario cannot run to
    its end, the others still run.
    """
    if math.isnan(speed_tolerance):
        raise click.BadParameter("nan is not a number", param_hint="--speed-tolerance")
    if not baseline_path.exists():
        raise click.UsageError(
            f"{baseline_path} does not exist. To write it, run: "
            f"thinsim baseline save SCENARIO... -o {baseline_path}"
        )
    then = read_baseline(baseline_path.read_text(errors="replace"), str(baseline_path))
    found = [find_scenario(name) for name in scenarios or [each.name for each in then.scenarios]]
    begun = time.time()
    try:
        ran = run_rounds(found, rig, rounds, directory)
    except (ThinsimError, FuseBackingError, OSError) as error:
        # The machine lacks something that every run needs. The page of the job shows this error as well.
        _write_failures({"thinsim ci": str(error)}, begun, markdown_path, junit_path)
        raise
    now = ran.measured
    comparisons = [
        compare_with_baseline(
            each, then.find(each.name), tolerance=speed_tolerance, leak_tolerance=leak_tolerance
        )
        for each in now
    ]
    here = environment(directory)
    others = differing_environment(here, then.environment)
    _show(output_console(), comparisons, others, ran.failed)
    if markdown_path is not None:
        text = markdown(
            comparisons,
            tolerance=speed_tolerance,
            leak_tolerance=leak_tolerance,
            differences=others,
            failed=ran.failed,
        )
        markdown_path.write_text(text)
    if junit_path is not None:
        suites = [(each.now.name, begun, _cases(each)) for each in comparisons]
        junit_path.write_text(document([*suites, *_errors(ran.failed, begun)]))
    if json_path is not None and now:
        stored = Baseline(environment=here, scenarios=now)
        json_path.write_text(stored.model_dump_json(indent=1) + "\n")
    ran.raise_failures()
    kinds = {change.kind for each in comparisons for change in each.failures}
    return min((_STATUSES[kind] for kind in kinds), default=DONE)


def _write_failures(
    failed: Mapping[str, str], begun: float, markdown_path: Path | None, junit_path: Path | None
) -> None:
    if markdown_path is not None:
        markdown_path.write_text(could_not_run(failed))
    if junit_path is not None:
        junit_path.write_text(document(_errors(failed, begun)))


def _errors(failed: Mapping[str, str], begun: float) -> list[tuple[str, float, list[TestCase]]]:
    return [(name, begun, [TestCase("ran", error=why)]) for name, why in failed.items()]


def _show(
    console: Console,
    comparisons: Sequence[BaselineComparison],
    others: Sequence[str],
    failed: Mapping[str, str],
) -> None:
    for each in comparisons:
        variants = ", ".join(f"{variant.name} leaks {variant.most_leaked}" for variant in each.now.variants)
        verdict = Text("FAIL", "bold red") if each.failures else Text("ok  ", "green")
        console.print(verdict, Text(f"{each.now.name} on {each.now.rig}: {variants}"), soft_wrap=True)
        for change in each.changes:
            where = f"{change.variant}: " if change.variant else ""
            style = (
                "red"
                if change.kind in FAILING_KINDS
                else "green"
                if change.kind is ChangeKind.BETTER
                else "dim"
            )
            console.print(Text(f"     {change.kind}: {where}{change.text}", style), soft_wrap=True)
    for name, why in failed.items():
        console.print(Text("FAIL", "bold red"), Text(f"{name} could not run: {why}"), soft_wrap=True)
    for text in others:
        console.print(Text(f"environment: {text}", "dim"), soft_wrap=True)


def _cases(comparison: BaselineComparison) -> list[TestCase]:
    return [
        TestCase(
            f"{variant.name}: {kind}",
            "; ".join(
                change.text
                for change in comparison.failures
                if change.kind is kind and change.variant == variant.name
            ),
        )
        for variant in comparison.now.variants
        for kind in FAILING_KINDS
    ]
