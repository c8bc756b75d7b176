"""Runs several scenarios a few rounds each, for ``thinsim baseline save`` and ``thinsim ci``."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.errors import FuseBackingError
from thinsim.cli.output_console import notes_console
from thinsim.cli.run_scenario import clean_up_after_killed_runs, rig_for_scenarios, run_found
from thinsim.errors import CombinedError, InvalidValueError, ThinsimError
from thinsim.measure.machine_speed import reference_seconds
from thinsim.regression.baseline import ScenarioBaseline, measured
from thinsim.report.document import Report
from thinsim.rig.registry import AUTO, find_rig
from thinsim.scenario.file.library import FoundScenario
from thinsim.vm.guest_script import SCRATCH


@dataclass(frozen=True, slots=True)
class Rounds:
    """What ran to its end in every round, and, by name, why the others did not."""

    measured: list[ScenarioBaseline]
    failed: Mapping[str, str]

    def raise_failures(self) -> None:
        """Raise CombinedError, a line a scenario, if one could not run."""
        if self.failed:
            raise CombinedError(
                "\n".join(f"{name} could not run: {why}" for name, why in self.failed.items())
            )


def run_rounds(found: Sequence[FoundScenario], rig: str, rounds: int, directory: Path | None) -> Rounds:
    """Run every scenario once in each round, so that what disturbs the machine for a while strikes all.

    One that cannot run to its end is left out of the rounds that follow. ThinsimError for what none could
    run with; InvalidValueError for a scenario named twice, or a rig in a guest.
    """
    if len({each.name for each in found}) < len(found):
        raise InvalidValueError("a scenario is named twice")
    record = None if rig == AUTO else find_rig(rig)
    if record is not None and record.running is None:
        # Each run in a guest of its own would be compared with what this machine can, and boot for minutes.
        raise InvalidValueError(
            f"--rig {rig}: run the whole command in a guest: thinsim vm run --share . -- thinsim ... "
            f"--rig {record.inside} --dir {SCRATCH}"
        )
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    choice = rig_for_scenarios(rig, directory, notes)
    reports: dict[str, list[Report]] = {each.name: [] for each in found}
    failed: dict[str, str] = {}
    references = []
    where = directory or Path(tempfile.gettempdir())
    for number in range(1, rounds + 1):
        for each in found:
            if each.name in failed:
                continue
            notes.print(f"round {number} of {rounds}: {each.name}", highlight=False, markup=False)
            references.append(reference_seconds(where))
            try:
                reports[each.name].append(run_found(each, choice.rig, notes, directory=directory))
            except (ThinsimError, FuseBackingError, OSError) as error:
                failed[each.name] = str(error)
            # The pace of a machine changes within seconds, and the shortest of all is what counts.
            references.append(reference_seconds(where))
    whole = (of_one for name, of_one in reports.items() if name not in failed)
    return Rounds([measured(of_one, min(references)) for of_one in whole], failed)
