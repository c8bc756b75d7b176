"""``thinsim ci`` runs scenarios and compares their leaks, asserts and discard costs with a baseline."""

import os
import shlex
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import click

from fuse_backing.errors import FuseBackingError
from fuse_backing.statuses import exit_status_help
from thinsim.cli.comparison_outputs import ComparisonOutputs, print_result
from thinsim.cli.directory_option import directory_option
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import OutputPath
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.round_options import most_rounds, most_rounds_option, rounds_option
from thinsim.cli.scenario_rounds import (
    KeyedScenario,
    RigChooser,
    Rounds,
    RoundsPlan,
    find_scenarios,
    name_of,
    run_rounds,
)
from thinsim.cli.size import UNITS
from thinsim.cli.statuses import BROKEN, DONE, FAILED, INTERRUPTED, LEAKED, NOT_COMPARED, SLOWER
from thinsim.did_you_mean import unknown_name
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
    NO_LEAK_TOLERANCE,
    SPEED_TOLERANCE,
    Tolerances,
    by_scenario,
    parse_leak_tolerance,
    parse_speed_tolerance,
)
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import rig_names
from thinsim.scenario.file.library import library_names

_Value = TypeVar("_Value")

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
            NOT_COMPARED: "a scenario or variant is new, missing or measured under other conditions",
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
@rig_option(rig_names(), explained_default="auto: the baseline's rig")
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
    stored = read_baseline(baseline_path.read_text(errors="replace"), str(baseline_path))
    outputs = ComparisonOutputs(junit_path, markdown_path, json_path)
    tolerances = _tolerances(leak_tolerances, speed_tolerances, not no_speed, baseline_path, stored)
    allowed = {
        kind
        for kind, wanted in (
            (ChangeKind.NEW, allow_new),
            (ChangeKind.MISSING, allow_missing),
            (ChangeKind.INCOMPARABLE, allow_incomparable),
        )
        if wanted
    }
    plan = RoundsPlan(rounds, most_rounds(rounds, most), directory, shlex.split(against or ""))
    names = list(scenarios) or [name_of(each.key, each.name, baseline_path) for each in stored.scenarios]
    begun = time.time()
    found, failed = find_scenarios(names, baseline_path)
    missing = [name for name in failed if allow_missing and not scenarios and _is_absent(name)]
    try:
        planned, without_rig = _with_rigs(found, stored, RigChooser(rig, directory))
    except (ThinsimError, FuseBackingError, OSError) as error:
        # The machine lacks something that every run needs. The page of the job shows this error as well.
        outputs.write_failure(str(error), begun)
        raise
    rules = ComparisonRules(tolerances, allowed)

    def compare(ran: Rounds, keys: Collection[str]) -> list[ScenarioComparison]:
        now = [measured(key, ran.reports[key]) for key in keys]
        beside = {key: measured(key, ran.old[key]) for key in keys} if plan.against else {}
        return compare_with_baseline(now, stored, rules, beside)

    ran = run_rounds(planned, plan, lambda key, so_far: compare(so_far, [key])[0].undecided)
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
    found: Sequence[KeyedScenario], stored: Baseline, chooser: RigChooser
) -> tuple[list[tuple[KeyedScenario, RigRecord]], dict[str, str]]:
    """Return each scenario with its rig, and by name the reasons why others have none."""
    planned, failed = [], {}
    matched, _ = match_scenarios(found, stored.scenarios)
    for each, then in zip(found, matched, strict=True):
        try:
            planned.append((each, chooser.choose(then.rig if then is not None else None)))
        except EnvironmentLacksError as error:
            failed[each.name] = f"{error}\nThe baseline is of this rig; --rig NAME chooses another."
    return planned, failed


def _tolerances(
    leaks: Sequence[str], speeds: Sequence[str], compare_speed: bool, baseline: Path, stored: Baseline
) -> Tolerances:
    """Read the options. BadParameter names the option and the scenario or value that is wrong."""
    leak, leak_of = _read(leaks, "--leak-tolerance", parse_leak_tolerance, baseline, stored)
    speed, speed_of = _read(speeds, "--speed-tolerance", parse_speed_tolerance, baseline, stored)
    return Tolerances(
        speed=SPEED_TOLERANCE if speed is None else speed,
        leak=NO_LEAK_TOLERANCE if leak is None else leak,
        speed_of=speed_of,
        leak_of=leak_of,
        compare_speed=compare_speed,
    )


def _read(
    texts: Sequence[str], option: str, parse: Callable[[str], _Value], baseline: Path, stored: Baseline
) -> tuple[_Value | None, dict[str, _Value]]:
    try:
        default, of = by_scenario(texts)
        values = {_key(name, baseline, stored): parse(value) for name, value in of.items()}
        return None if default is None else parse(default), values
    except InvalidValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _key(name: str, baseline: Path, stored: Baseline) -> str:
    """Return the key of the scenario *name* of an option. InvalidValueError if there is no such scenario."""
    known = {word: each.key for each in stored.scenarios for word in (each.name, each.key)}
    if name in known:
        return known[name]
    found, _ = find_scenarios([name], baseline)
    if not found:
        raise InvalidValueError(unknown_name("scenario", name, list(known)))
    return found[0].key


def _is_absent(name: str) -> bool:
    return not Path(name).exists() and name not in library_names()


def _update(path: Path, stored: Baseline, result: ComparisonResult) -> None:
    """Replace the results in the baseline at once, so that no reader sees half of it."""
    old_keys = [each.then.key for each in result.comparisons if each.then is not None]
    vanished = [each.key for each in stored.scenarios if name_of(each.key, each.name, path) in result.missing]
    fresh = replaced(stored, [each.now for each in result.comparisons], [*old_keys, *vanished])
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(fresh.model_dump_json(indent=1) + "\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    renewed = len(result.comparisons)
    note(f"Updated {path}: {renewed} scenario{'' if renewed == 1 else 's'}")
