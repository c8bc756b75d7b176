"""`run_rounds` runs several scenarios a few times, for ``thinsim baseline save`` and ``thinsim ci``."""

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
    """A scenario ends in every round, or it fails; `Rounds` keeps the results of both kinds."""

    measured: list[ScenarioBaseline]
    """The scenarios that ended in every round."""
    failed: Mapping[str, str]
    """The reasons of the failures, by the name of the scenario."""

    def raise_failures(self) -> None:
        """Raise CombinedError, with one line per failed scenario, if there are any."""
        if self.failed:
            raise CombinedError(
                "\n".join(f"{name} could not run: {why}" for name, why in self.failed.items())
            )


def run_rounds(found: Sequence[FoundScenario], rig: str, rounds: int, directory: Path | None) -> Rounds:
    """Run every scenario once in each round, so that a temporary load on the machine affects all of them.

    A scenario that fails is left out of the next rounds. ThinsimError if none can run; InvalidValueError if
    a scenario is named twice, or if the rig is in a guest.
    """
    if len({each.name for each in found}) < len(found):
        names = [each.name for each in found]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(f"scenario {twice} is named twice: name each scenario once")
    record = None if rig == AUTO else find_rig(rig)
    if record is not None and record.running is None:
        # A guest per run would boot for minutes, and its times would be compared with this machine's speed.
        raise InvalidValueError(
            f"--rig {rig} boots a guest per run; run the whole command in one guest: "
            "thinsim vm run --share . -- thinsim ... "
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
            # The speed of a machine changes within seconds. The shortest time of all counts.
            references.append(reference_seconds(where))
    whole = (of_one for name, of_one in reports.items() if name not in failed)
    return Rounds([measured(of_one, min(references)) for of_one in whole], failed)
