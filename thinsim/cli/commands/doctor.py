"""``thinsim doctor`` lists missing requirements and the leftovers of killed runs."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import trio

from fuse_backing import fuse_switch, runtime, unmounting
from fuse_backing.errors import FuseBackingError
from fuse_backing.fuse_uring import SWITCH
from fuse_backing.libfuse import Libfuse, libfuse_in_use
from fuse_backing.statuses import exit_status_help
from thinsim.cli.findings_table import findings_table
from thinsim.cli.output_console import print_table, print_words
from thinsim.cli.statuses import DONE, FAILED
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.findings import Finding
from thinsim.machine.journal import JournalContent, all_journals
from thinsim.machine.recovery import recover_abandoned
from thinsim.rig.registry import AUTO, choose_rig, probe_rigs


@click.command(epilog=exit_status_help({FAILED: "no rig can run here or the clean-up failed"}))
@click.option(
    "--clean",
    is_flag=True,
    help="Remove the mounts, loop devices, servers and files that killed runs and stores left.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, exists=True),
    help="Check whether this directory can hold the pool's files. Default: the temporary directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def doctor(clean: bool, directory: Path | None, as_json: bool) -> int:
    """List missing requirements of the rigs, each with a fix.

    The command also names the libfuse in use, the rig that auto chooses here, and
    the leftovers of killed runs and stores.
    --clean never touches a run whose process is alive.
    """
    problems: list[str] = []
    acts: list[str] = []
    if clean:
        problems += recover_abandoned(acts.append)
        problems += _clear_dead_stores(acts) + _restore_switch(acts)
    findings = probe_rigs(directory or Path(tempfile.gettempdir()))
    try:
        choice = choose_rig(AUTO, findings)
    except EnvironmentLacksError as error:
        rig, why = None, str(error)
    else:
        rig, why = choice.rig.name, choice.why
    runs, dead = all_journals(), runtime.dead_stores()
    libfuse = libfuse_in_use()
    if as_json:
        document = {
            "rig": rig,
            "why": why,
            "findings": [asdict(finding) for finding in findings],
            "libfuse": asdict(libfuse),
            "runs": [_run(run) for run in runs],
            "dead_stores": [str(mountpoint) for mountpoint in dead],
            "fuse_switch_left_on": fuse_switch.left_on(),
            "cleaned": acts,
            "problems": problems,
        }
        click.echo(json.dumps(document, indent=1))
    else:
        _print(findings, libfuse, rig, why, runs, dead, acts, problems)
    return FAILED if problems or rig is None else DONE


def _clear_dead_stores(acts: list[str]) -> list[str]:
    """Unmount the stores whose servers have died; return the failures."""
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


def _restore_switch(acts: list[str]) -> list[str]:
    """Turn off the kernel's switch of FUSE over io_uring if a killed server has left it on."""
    try:
        if fuse_switch.restore_left():
            acts.append(f"turned off {SWITCH}")
    except OSError as error:
        return [f"{SWITCH}: {error.strerror}"]
    return []


def _run(run: JournalContent) -> dict[str, object]:
    return {
        "journal": str(run.path),
        "owner": run.owner.pid,
        "abandoned": run.is_abandoned,
        "taken": [{"kind": taken.kind, **taken.fields} for taken in run.taken],
    }


def _print(
    findings: list[Finding],
    libfuse: Libfuse,
    rig: str | None,
    why: str,
    runs: list[JournalContent],
    dead: list[Path],
    acts: list[str],
    problems: list[str],
) -> None:
    print_table(findings_table(findings))
    print_words(str(libfuse), style="red" if libfuse.failure else "")
    print_words(f"rig: {rig or 'none'} ({why})")
    for act in acts:
        print_words(f"cleaned: {act}")
    for problem in problems:
        print_words(f"could not clean: {problem}", style="red")
    for run in runs:
        if run.is_abandoned:
            print_words(
                f"left by a killed run (pid {run.owner.pid}): {_resources(run)}. "
                "To remove them, run: thinsim doctor --clean"
            )
        else:
            print_words(f"running now: pid {run.owner.pid}, {_resources(run)} in use")
    for mountpoint in dead:
        print_words(
            f"the server of the backing store on {mountpoint} has died. To unmount it, run: "
            "thinsim doctor --clean"
        )
    if fuse_switch.left_on():
        print_words(
            f"a server that was killed has left {SWITCH} on. To turn it off, run: thinsim doctor --clean"
        )


def _resources(run: JournalContent) -> str:
    """Return how many resources the run has, in words."""
    return f"{len(run.taken)} {'resource' if len(run.taken) == 1 else 'resources'}"
