"""`attempt_found` runs a scenario for a command; the other functions prepare the machine for it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from thinsim.cli.attempt import Attempt, attempted
from thinsim.cli.output_console import warnings_console
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.statuses import BROKEN, DONE
from thinsim.guests.scenario import run_scenario_in_guest
from thinsim.machine.journal import JournalContent
from thinsim.machine.recovery import recover_abandoned
from thinsim.report.document import Report
from thinsim.report.scenario_report import report_of
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import RigChoice, choose_rig, probe_rigs
from thinsim.scenario.file.library import FoundScenario
from thinsim.scenario.file.run import ScenarioRequest, run_scenario


def clean_up_after_killed_runs(notes: Console) -> None:
    """Remove the leftovers of killed runs, with a note for each step."""

    def begins(run: JournalContent) -> None:
        notes.print(f"cleaning up after a killed run ({run.path.name})", highlight=False)

    for problem in recover_abandoned(lambda text: notes.print(f"  {text}", highlight=False), begins):
        warnings_console().print(f"  could not clean up: {problem}", highlight=False, markup=False)


def rig_for_scenarios(wanted: str, directory: Path | None, notes: Console) -> RigChoice:
    """Return the rig for *wanted*, ``auto`` or a name, and print it to *notes*. EnvironmentLacksError."""
    choice = choose_rig(wanted, probe_rigs(directory or Path(tempfile.gettempdir())))
    notes.print(choice.note, highlight=False, soft_wrap=True)
    return choice


def run_for_comparison(
    found: FoundScenario, rig: RigRecord, notes: Console, directory: Path | None
) -> Report:
    """Run a scenario for a comparison of times, and return its report. Progress goes to *notes*.

    Such a run is repeatable and measures the machine's speed as well.
    """
    ran = attempt_found(found, rig, notes, directory=directory, for_comparison=True)
    if ran.failure is not None:
        raise ran.failure
    return ran.result


def attempt_found(
    found: FoundScenario,
    rig: RigRecord,
    notes: Console,
    *,
    variants: Sequence[str] = (),
    directory: Path | None = None,
    keep: bool = False,
    repeatable: bool = False,
    for_comparison: bool = False,
) -> Attempt[Report]:
    """Run a scenario, in a guest if the rig is one. If it ends early, return the report of the part before.

    A run *for_comparison* is *repeatable* and measures the machine's speed as well. It is one of several, so
    it prints no line of its own. Progress goes to *notes*.
    """
    request = ScenarioRequest(
        found.scenario,
        found.name,
        found.text,
        rig,
        found.base,
        variants,
        directory,
        keep,
        repeatable=repeatable or for_comparison,
        reference_work=for_comparison,
    )
    with TerminalProgress(notes, lines=not for_comparison) as progress:
        if rig.running is None:
            fine = (DONE, BROKEN)
            return attempted(
                lambda keep: run_scenario_in_guest(request, found.path, progress, keep, fine=fine)
            )
        ran = attempted(lambda keep: run_scenario(request, progress, keep))
    return Attempt(report_of(ran.result, ran.cut_short), ran.failure)
