"""``thinsim doctor`` says what this machine has and lacks, and what killed runs left on it."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import trio

from fuse_backing import runtime, unmounting
from fuse_backing.errors import FuseBackingError
from thinsim.cli.findings_table import findings_table
from thinsim.cli.output_console import output_console
from thinsim.cli.statuses import DONE, FAILED
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.findings import Finding
from thinsim.machine.journal import JournalContent, all_journals
from thinsim.machine.recovery import recover_abandoned
from thinsim.rig.registry import AUTO, choose_rig, probe_rigs


@click.command()
@click.option(
    "--clean", is_flag=True, help="Give back what killed runs left: mounts, loop devices, servers, files."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, exists=True),
    help="Where the pool's files would go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(clean: bool, directory: Path | None, as_json: bool) -> int:
    """List what the rigs need with a fix for each lack, and what killed runs and stores left behind.

    Exits 1 if no rig can run here, or something could not be given back.
    """
    problems: list[str] = []
    acts: list[str] = []
    if clean:
        problems += recover_abandoned(acts.append)
        problems += _clear_dead_stores(acts)
    findings = probe_rigs(directory or Path(tempfile.gettempdir()))
    try:
        choice = choose_rig(AUTO, findings)
    except EnvironmentLacksError as error:
        rig, why = None, str(error)
    else:
        rig, why = choice.rig.name, choice.why
    runs, dead = all_journals(), runtime.dead_stores()
    if as_json:
        document = {
            "rig": rig,
            "why": why,
            "findings": [asdict(finding) for finding in findings],
            "runs": [_run(run) for run in runs],
            "dead_stores": [str(mountpoint) for mountpoint in dead],
            "cleaned": acts,
            "problems": problems,
        }
        click.echo(json.dumps(document, indent=1))
    else:
        _print(findings, rig, why, runs, dead, acts, problems)
    return FAILED if problems or rig is None else DONE


def _clear_dead_stores(acts: list[str]) -> list[str]:
    """Clear away what stores that were mounted alone have left; return what went wrong."""
    dead = runtime.dead_stores()
    if not dead:
        return []
    problems = []
    for mountpoint in dead:
        try:
            acts.append(trio.run(unmounting.unmount_store, mountpoint))
        except FuseBackingError as error:
            problems.append(str(error))
    return problems


def _run(run: JournalContent) -> dict[str, object]:
    return {
        "journal": str(run.path),
        "owner": run.owner.pid,
        "abandoned": run.is_abandoned,
        "taken": [{"kind": taken.kind, **taken.fields} for taken in run.taken],
    }


def _print(
    findings: list[Finding],
    rig: str | None,
    why: str,
    runs: list[JournalContent],
    dead: list[Path],
    acts: list[str],
    problems: list[str],
) -> None:
    console = output_console()
    console.print(findings_table(findings))
    console.print(f"rig: {rig or 'none'} ({why})", highlight=False, markup=False, soft_wrap=True)
    for act in acts:
        console.print(f"cleaned: {act}", highlight=False, markup=False, soft_wrap=True)
    for problem in problems:
        console.print(
            f"could not clean: {problem}", highlight=False, markup=False, style="red", soft_wrap=True
        )
    for run in runs:
        if run.is_abandoned:
            console.print(
                f"left by a killed run (pid {run.owner.pid}): {len(run.taken)} things; give them back with: "
                "thinsim doctor --clean",
                highlight=False,
            )
        else:
            console.print(f"running now: pid {run.owner.pid}, {len(run.taken)} things taken", highlight=False)
    for mountpoint in dead:
        console.print(
            f"the server of the backing store on {mountpoint} has died; clear that away with: "
            "thinsim doctor --clean",
            highlight=False,
            markup=False,
        )
