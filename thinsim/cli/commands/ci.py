"""``thinsim ci`` runs scenarios and compares their leaks, asserts and discard costs with a baseline."""

import os
import shlex
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

import click

from fuse_backing.errors import FuseBackingError
from fuse_backing.statuses import exit_status_help
from thinsim.cli.comparison_outputs import ComparisonOutputs, print_result
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import cannot_be_used_with
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import OutputPath, keep_inputs
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.round_options import most_rounds, most_rounds_option, rounds_option
from thinsim.cli.scenario_rounds import (
    KeyedScenario,
    RigChooser,
    Rounds,
    RoundsPlan,
    find_scenarios,
    in_place,
    name_of,
    run_rounds,
)
from thinsim.cli.size import UNITS
from thinsim.cli.statuses import BROKEN, DONE, FAILED, INTERRUPTED, LEAKED, NOT_COMPARED, SLOWER
from thinsim.cli.tolerance_options import read_tolerances
from thinsim.errors import EnvironmentLacksError, InvalidValueError, ThinsimError
from thinsim.regression.baseline import Baseline, measured, read_baseline, replaced
from thinsim.regression.comparison import (
    ChangeKind,
    ComparisonResult,
    ComparisonRules,
    ScenarioComparison,
    compare_with_baseline,
)
from thinsim.regression.matching import match_scenarios
from thinsim.regression.tolerances import (
    SPEED_TOLERANCE,
)
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import rig_names
from thinsim.scenario.file.library import library_names

_Value = TypeVar("_Value")

_ACCEPT_MISSING = "to accept that, use --allow-missing"

_STATUSES = {
    ChangeKind.LEAK: LEAKED,
    ChangeKind.BROKEN: BROKEN,
    ChangeKind.SLOWER: SLOWER,
    ChangeKind.NEW: NOT_COMPARED,
    ChangeKind.MISSING: NOT_COMPARED,
    ChangeKind.INCOMPARABLE: NOT_COMPARED,
}


@click.command(
    epilog=exit_status_help(
        {
            FAILED: "a scenario cannot run to its end",
            LEAKED: "a snapshot leaks more data blocks than in the baseline",
            BROKEN: "an assert that held in the baseline does not hold",
            SLOWER: "discards are slower",
            NOT_COMPARED: "a scenario is new or was measured elsewhere, or a variant is new or missing",
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
    "--leak-tolerance",
    "leak_tolerances",
    multiple=True,
    metavar="[SCENARIO=]SIZE|PERCENT",
    help="Accept this much more, such as 1M or 2%, of a variant that leaks in the baseline already. Repeat "
    "the option to give scenarios their own. Default: 0.",
)
@click.option(
    "--speed-tolerance",
    "speed_tolerances",
    multiple=True,
    metavar="[SCENARIO=]RATIO|PERCENT",
    help="Accept discards that cost up to this many times as much, such as 1.5, or this much more, such as "
    f"50%. Repeat the option to give scenarios their own. Default: {SPEED_TOLERANCE:g}.",
)
@click.option("--no-speed", is_flag=True, help="Do not compare the speed of discards.")
@click.option("--allow-new", is_flag=True, help="Accept scenarios and variants that the baseline lacks.")
@click.option(
    "--allow-missing", is_flag=True, help="Accept scenarios and variants that only the baseline has."
)
@click.option(
    "--allow-incomparable",
    is_flag=True,
    help="Accept runs on another rig, or with other data blocks, than the baseline's. Their asserts, and "
    "leaks where nothing leaked before, are compared all the same.",
)
@click.option(
    "--against",
    metavar="COMMAND",
    help="Compare the speed with this other installation of thinsim, such as .old/bin/thinsim, which runs "
    "each scenario in each round as well, instead of with the baseline's times.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Replace the results in the baseline by the new ones, whatever has changed.",
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
@rig_option(rig_names(), explained_default="the baseline's rig")
@rounds_option(3)
@most_rounds_option
@directory_option
@quiet_option
def ci(
    scenarios: tuple[str, ...],
    baseline_path: Path,
    leak_tolerances: tuple[str, ...],
    speed_tolerances: tuple[str, ...],
    no_speed: bool,
    allow_new: bool,
    allow_missing: bool,
    allow_incomparable: bool,
    against: str | None,
    update: bool,
    junit_path: Path | None,
    markdown_path: Path | None,
    json_path: Path | None,
    rig: str,
    rounds: int,
    most: int | None,
    directory: Path | None,
) -> int:
    """Run scenarios and compare the results with a baseline.

    Without SCENARIO, the scenarios of the baseline run. A scenario is the same if its file is, however its
    path is spelt; a file that was moved is known by its content or title, a renamed variant by its settings.

    The runs are repeatable, so a snapshot that leaks one data block more than in the baseline is a
    regression. The cost of discards is the time that they take themselves, relative to a reference work
    around them; other programs on the machine do not count. If the rounds differ too much, more rounds run.
    If they still differ, the verdict is "can't tell", which is no failure.

    If a scenario cannot run to its end, the others still run. After Ctrl-C, the complete rounds count.
    """
    if not baseline_path.exists():
        raise click.UsageError(
            f"{baseline_path} does not exist. To write it, run: "
            f"thinsim baseline save SCENARIO... -o {baseline_path}"
        )
    keep_inputs(baseline_path)
    command = _other_installation(against, no_speed)
    stored = read_baseline(baseline_path.read_text(errors="replace"), str(baseline_path))
    outputs = ComparisonOutputs(junit_path, markdown_path, json_path)
    tolerances = read_tolerances(leak_tolerances, speed_tolerances, not no_speed, baseline_path, stored)
    allowed = {
        kind
        for kind, wanted in (
            (ChangeKind.NEW, allow_new),
            (ChangeKind.MISSING, allow_missing),
            (ChangeKind.INCOMPARABLE, allow_incomparable),
        )
        if wanted
    }
    plan = RoundsPlan(rounds, most_rounds(rounds, most), directory, command)
    names = list(scenarios) or [name_of(each.key, each.name, baseline_path) for each in stored.scenarios]
    begun = time.time()
    try:
        found, failed = find_scenarios(names, baseline_path)
    except InvalidValueError as error:
        raise click.UsageError(str(error)) from None
    keep_inputs(*(each.found.path for each in found))
    known = {Path(name_of(each.key, each.name, baseline_path)).resolve() for each in stored.scenarios}
    vanished = [name for name in failed if _is_absent(name) and Path(name).resolve() in known]
    failed |= {
        name: f"{name} does not exist, and the baseline has it; {_ACCEPT_MISSING}" for name in vanished
    }
    missing = vanished if allow_missing else []
    if len(missing) == len(names):
        # A gate that compares nothing must not pass.
        why = f"no scenario of {baseline_path} exists here, so nothing was compared"
        outputs.write_failure(why, begun)
        click.echo(f"thinsim: {why}", err=True)
        return NOT_COMPARED
    kept = {each.key for each in stored.scenarios if in_place(each.key, baseline_path)}
    try:
        planned, without_rig = _with_rigs(found, stored, kept, RigChooser(rig, directory))
    except (ThinsimError, FuseBackingError, OSError) as error:
        # The machine lacks something that every run needs. The page of the job shows this error as well.
        outputs.write_failure(str(error), begun)
        raise
    rules = ComparisonRules(tolerances, allowed)

    def compare(ran: Rounds, keys: Collection[str]) -> list[ScenarioComparison]:
        now = [measured(key, ran.reports[key]) for key in keys]
        beside = {key: measured(key, ran.old[key]) for key in keys} if plan.against else {}
        return compare_with_baseline(now, stored, rules, beside, kept)

    ran = run_rounds(planned, plan, lambda key, so_far: compare(so_far, [key])[0].undecided)
    if not scenarios:
        without_rig |= _unmatched(found, stored, kept, list(failed))
    ran.failed |= without_rig | {name: why for name, why in failed.items() if name not in missing}
    result = ComparisonResult(compare(ran, ran.reports), ran.failed, missing, tolerances, ran.interrupted)
    print_result(output_console(), result)
    outputs.write(result, begun)
    if ran.interrupted:
        click.echo("thinsim: interrupted; the results are those of the complete rounds", err=True)
        return INTERRUPTED
    if update:
        _update(baseline_path, stored, result)
    ran.raise_failures()
    kinds = {change.kind for each in result.comparisons for change in each.failures}
    return DONE if update else min((_STATUSES[kind] for kind in kinds), default=DONE)


def _with_rigs(
    found: Sequence[KeyedScenario], stored: Baseline, kept: Collection[str], chooser: RigChooser
) -> tuple[list[tuple[KeyedScenario, RigRecord]], dict[str, str]]:
    """Return each scenario with its rig, and by name the reasons why others have none.

    A scenario that is new has the rig of the baseline, if all of the baseline has one rig.
    """
    rigs = {each.rig for each in stored.scenarios}
    common = rigs.pop() if len(rigs) == 1 else None
    planned, failed = [], {}
    matched, _ = match_scenarios(found, stored.scenarios, kept)
    for each, then in zip(found, matched, strict=True):
        try:
            planned.append((each, chooser.choose(then.rig if then is not None else common)))
        except EnvironmentLacksError as error:
            failed[each.name] = f"{error}\nThe baseline is of this rig; --rig NAME chooses another."
    return planned, failed


def _unmatched(
    found: Sequence[KeyedScenario], stored: Baseline, kept: Collection[str], failed: Sequence[str]
) -> dict[str, str]:
    """Return, by name, the scenarios of the baseline that neither run nor failed to be read.

    The path of such a scenario leads to another file now, as a symbolic link can.
    """
    _, rest = match_scenarios(found, stored.scenarios, kept)
    # A scenario that cannot be read is without a match as well, and it is named already.
    if len(rest) <= len(failed):
        return {}
    return {each.key: "its path leads to another file than in the baseline" for each in rest}


def _other_installation(against: str | None, no_speed: bool) -> list[str]:
    """Return the words of --against. A usage error if it names no program, or nothing is to be timed."""
    if against is None:
        return []
    if no_speed:
        raise cannot_be_used_with("--against", "--no-speed", "the other installation only compares speed")
    try:
        command = shlex.split(against)
    except ValueError as error:
        raise click.BadParameter(f"{against!r}: {error}", param_hint="--against") from None
    if not command:
        raise click.BadParameter("the command is empty", param_hint="--against")
    if shutil.which(command[0]) is None:
        raise click.BadParameter(f"the program {command[0]} does not exist", param_hint="--against")
    return command


def _is_absent(name: str) -> bool:
    return not Path(name).exists() and name not in library_names()


def _update(path: Path, stored: Baseline, result: ComparisonResult) -> None:
    """Replace the results in the baseline at once, so that no reader sees half of it."""
    old_keys = [each.then.key for each in result.comparisons if each.then is not None]
    vanished = [each.key for each in stored.scenarios if name_of(each.key, each.name, path) in result.missing]
    fresh = replaced(stored, [each.now for each in result.comparisons], [*old_keys, *vanished])
    # The keys are seen from the file itself: a symbolic link to it stays one.
    real = path.resolve()
    unfinished = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        unfinished.write_text(fresh.model_dump_json(indent=1) + "\n")
        shutil.copymode(real, unfinished)
        unfinished.replace(real)
    finally:
        unfinished.unlink(missing_ok=True)
    renewed = len(result.comparisons)
    note(f"Updated {path}: {renewed} scenario{'' if renewed == 1 else 's'}")
