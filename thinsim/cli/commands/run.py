"""``thinsim run`` runs a scenario and reports its results."""

from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.expected_trouble import cannot_be_used_with
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import notes_console
from thinsim.cli.outputs import output_options, write_outputs
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import directory_option, rig_help
from thinsim.cli.run_scenario import clean_up_after_killed_runs, rig_for_scenarios, run_found
from thinsim.cli.size import SIZE, UNITS
from thinsim.cli.statuses import BROKEN, DONE, LEAKED
from thinsim.rig.registry import AUTO, rig_names
from thinsim.scenario.file.library import find_scenario


@click.command(
    epilog=exit_status_help(
        {
            LEAKED: "a variant leaks more than --fail-on-leak",
            BROKEN: "an assert of the scenario does not hold",
        }
    )
    + f" The first that applies counts.\n\n{UNITS}",
)
@click.argument("scenario", shell_complete=scenario_names)
@click.option(
    "--rig",
    type=click.Choice([AUTO, *rig_names()]),
    help=f"{rig_help([AUTO, *rig_names()])} Default: the scenario's choice.",
)
@click.option("--variant", "variants", multiple=True, help="Run only this variant; may be repeated.")
@directory_option
@click.option(
    "--repeatable",
    is_flag=True,
    help="Make the block counts the same in every run, as thinsim ci does: one processor, a fixed hash seed "
    "and stripe for mkfs.ext4, no delayed allocation and no timed commits in ext4.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the files, databases and logs. Devices, mounts and servers are removed.",
)
@click.option(
    "--fail-on-leak",
    type=SIZE,
    metavar="BYTES",
    help=f"End with status {LEAKED} if a variant leaks more than this.",
)
@output_options
@quiet_option
def run(
    scenario: str,
    rig: str | None,
    variants: tuple[str, ...],
    directory: Path | None,
    repeatable: bool,
    keep: bool,
    fail_on_leak: int | None,
    json_path: Path | None,
    junit_path: Path | None,
    html_path: Path | None,
) -> int:
    """Run SCENARIO, a file or a name from the library.

    Each variant of the scenario runs on a fresh pool. thinsim scenarios list prints the library.
    """
    found = find_scenario(scenario)
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig or found.scenario.rig, directory, notes)
    if keep and choice.rig.running is None:
        raise cannot_be_used_with(
            "--keep", f"--rig {choice.rig.name}", "the guest's files are discarded with it"
        )
    report = run_found(
        found, choice.rig, notes, variants=variants, directory=directory, keep=keep, repeatable=repeatable
    )
    write_outputs(
        report, json_path=json_path, junit_path=junit_path, html_path=html_path, fail_on_leak=fail_on_leak
    )
    if report.kept is not None:
        click.echo(f"kept: {report.kept}", err=True)
    if fail_on_leak is not None and report.worst_leak > fail_on_leak:
        click.echo(f"thinsim: leaked {report.worst_leak} bytes, more than {fail_on_leak}", err=True)
        return LEAKED
    for variant, outcome in report.broken:
        click.echo(
            f"thinsim: {variant}: {outcome.phase}: assert {outcome.asserted} does not hold: "
            f"found {outcome.found}",
            err=True,
        )
    return BROKEN if report.broken else DONE
