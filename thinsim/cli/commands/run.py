"""``thinsim run`` runs a scenario and reports its results."""

from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import cannot_be_used_with
from thinsim.cli.leak_limit import leak_limit_option
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import notes_console
from thinsim.cli.output_path import refuse_to_overwrite
from thinsim.cli.outputs import Outputs, conclude, output_options
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import rig_help
from thinsim.cli.run_scenario import attempt_found, clean_up_after_killed_runs, rig_for_scenarios
from thinsim.cli.size import UNITS
from thinsim.cli.statuses import BROKEN, LEAKED
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
@leak_limit_option("variant")
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
    outputs: Outputs,
) -> int:
    """Run SCENARIO, a file or a name from the library.

    Each variant of the scenario runs on a fresh pool. thinsim scenarios list prints the library. If a step
    fails or a signal interrupts the run, the outputs contain the measurements before, marked as cut short.
    """
    found = find_scenario(scenario)
    refuse_to_overwrite(found.path)
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig or found.scenario.rig, directory, notes)
    if keep and choice.rig.running is None:
        raise cannot_be_used_with(
            "--keep", f"--rig {choice.rig.name}", "the guest's files are discarded with it"
        )
    ran = attempt_found(
        found, choice.rig, notes, variants=variants, directory=directory, keep=keep, repeatable=repeatable
    )
    return conclude(ran.result, outputs, fail_on_leak, ran.failure)
