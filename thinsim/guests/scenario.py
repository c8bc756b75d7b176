"""`run_scenario_in_guest` runs a scenario file on the kernel rig of a throw-away guest."""

from collections.abc import Callable, Collection
from pathlib import Path

from thinsim.guests.work import ReportNames, guest_work
from thinsim.report.document import Report
from thinsim.rig.vm import VM
from thinsim.scenario.file.rehearsal import require_possible
from thinsim.scenario.file.run import ScenarioRequest, chosen_variants
from thinsim.scenario.progress import Progress
from thinsim.scenario.unfinished import forget

SECONDS_PER_VARIANT = 1800.0
"""A guest that takes longer is taken to hang."""


async def run_scenario_in_guest(
    request: ScenarioRequest,
    file: Path,
    progress: Progress,
    keep: Callable[[Report], object] = forget,
    *,
    fine: Collection[int],
) -> Report:
    """Run the scenario *file* in a guest and return its report, in which the rig is ``vm``.

    *fine* has the exit statuses with which ``thinsim run`` gets to its end. The errors and *keep* are those
    of ``reproduce_in_guest``; InvalidValueError for an unknown variant or a step that cannot succeed as well.
    """
    variants = chosen_variants(request)
    require_possible(request.scenario, request.text, request.name, variants)
    options = [word for name in request.variants for word in ("--variant", name)]
    options += ["--repeatable"] if request.repeatable else []
    names = ReportNames(request.name, ["thinsim", "run", request.name, "--rig", VM.name, *options])
    words = ["run", str(file.resolve()), *options]
    async with guest_work(request.directory, None, progress) as guest:
        seconds = SECONDS_PER_VARIANT * len(variants)
        return await guest.bring_back(words, names, seconds=seconds, fine=fine, keep=keep)
