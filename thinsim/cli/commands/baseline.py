"""``thinsim baseline save`` stores the results of scenarios, for ``thinsim ci`` to compare with."""

from pathlib import Path

import click

from thinsim.cli.directory_option import directory_option
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_path import OutputPath, refuse_to_overwrite
from thinsim.cli.quiet import note, quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.round_options import most_rounds, most_rounds_option, rounds_option
from thinsim.cli.scenario_rounds import RigChooser, Rounds, RoundsPlan, find_scenarios, run_rounds
from thinsim.cli.statuses import DONE, INTERRUPTED
from thinsim.errors import CombinedError
from thinsim.regression.baseline import Baseline, ScenarioBaseline, measured
from thinsim.regression.speed import is_narrow
from thinsim.rig.registry import rig_names


@click.group()
def baseline() -> None:
    """Store the leaks and discard costs of scenarios.

    thinsim ci compares later runs with the stored baseline.
    """


@baseline.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=scenario_names)
@click.option("--output", "-o", type=OutputPath(), required=True, help="Write the baseline to this file.")
@rig_option(rig_names())
@rounds_option(5)
@most_rounds_option
@directory_option
@quiet_option
def save(
    scenarios: tuple[str, ...],
    output: Path,
    rig: str,
    rounds: int,
    most: int | None,
    directory: Path | None,
) -> int:
    """Run each SCENARIO several times and store the results.

    The runs are repeatable: the same code leaks the same data blocks in every run. A scenario whose discards
    take different times runs more often, so that its costs are known well enough.
    """
    found, failed = find_scenarios(scenarios, output)
    refuse_to_overwrite(*(each.found.path for each in found))
    if failed:
        raise CombinedError("\n".join(f"{name}: {why}" for name, why in failed.items()))
    chooser = RigChooser(rig, directory)
    planned = [(each, chooser.choose(None)) for each in found]
    ran = run_rounds(planned, RoundsPlan(rounds, most_rounds(rounds, most), directory), _is_wide)
    if ran.interrupted:
        click.echo(
            f"thinsim: interrupted; {output} is not written, since a baseline needs all rounds", err=True
        )
        return INTERRUPTED
    ran.raise_failures()
    stored = Baseline(scenarios=[measured(key, reports) for key, reports in ran.reports.items()])
    output.write_text(stored.model_dump_json(indent=1) + "\n")
    note(f"Wrote {output}: {', '.join(map(_summary, stored.scenarios))}")
    for each in stored.scenarios:
        for variant in each.variants:
            for broken in variant.broken:
                click.echo(
                    f"{each.name}: {variant.name}: an assert does not hold, and is stored so: {broken}",
                    err=True,
                )
    return DONE


def _is_wide(key: str, rounds: Rounds) -> bool:
    variants = measured(key, rounds.reports[key]).variants
    return not all(is_narrow(variant.costs) for variant in variants if variant.discards)


def _summary(scenario: ScenarioBaseline) -> str:
    return f"{scenario.name} ({scenario.rounds} round{'s' if scenario.rounds > 1 else ''})"
