"""``thinsim run`` plays a scenario file and says what came of it."""

from pathlib import Path

import click

from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import notes_console
from thinsim.cli.outputs import output_options, write_outputs
from thinsim.cli.run_scenario import clean_up_after_killed_runs, rig_for_scenarios, run_found
from thinsim.cli.size import SIZE, UNITS
from thinsim.cli.statuses import BROKEN, DONE, LEAKED
from thinsim.rig.registry import AUTO, rig_names
from thinsim.scenario.file.library import find_scenario


@click.command(epilog=UNITS)
@click.argument("scenario", shell_complete=scenario_names)
@click.option(
    "--rig",
    type=click.Choice([AUTO, *rig_names()]),
    help="What the pool stands on. Default: what the file says.",
)
@click.option("--variant", "variants", multiple=True, help="Run this variant only; may be repeated.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Where the pool's files go. Default: the temporary directory.",
)
@click.option("--keep", is_flag=True, help="Keep the files and logs; devices, mounts and servers still go.")
@click.option(
    "--fail-on-leak", type=SIZE, metavar="BYTES", help=f"Exit {LEAKED} if a variant leaks more than this."
)
@output_options
def run(
    scenario: str,
    rig: str | None,
    variants: tuple[str, ...],
    directory: Path | None,
    keep: bool,
    fail_on_leak: int | None,
    json_path: Path | None,
    junit_path: Path | None,
    html_path: Path | None,
) -> int:
    """Run SCENARIO, a file or a name of the library (thinsim scenarios list).

    Each variant runs on a fresh pool. Exits 3 if more leaks than --fail-on-leak, else 4 if an assert of
    the file does not hold.
    """
    found = find_scenario(scenario)
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig or found.scenario.rig, directory, notes)
    if keep and choice.rig.running is None:
        raise click.UsageError("--keep: what a guest has goes with it")
    report = run_found(found, choice.rig, notes, variants=variants, directory=directory, keep=keep)
    write_outputs(
        report, json_path=json_path, junit_path=junit_path, html_path=html_path, fail_on_leak=fail_on_leak
    )
    if report.kept is not None:
        notes.print(f"kept: {report.kept}", highlight=False)
    if fail_on_leak is not None and report.worst_leak > fail_on_leak:
        click.echo(f"thinsim: leaked {report.worst_leak} bytes, more than {fail_on_leak}", err=True)
        return LEAKED
    for variant, outcome in report.broken:
        click.echo(
            f"thinsim: {variant}: {outcome.phase}: {outcome.asserted}: found {outcome.found}", err=True
        )
    return BROKEN if report.broken else DONE
