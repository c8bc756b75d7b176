"""`run_scenario_in_guest` runs a scenario file on the kernel rig of a throw-away guest."""

from collections.abc import Collection
from pathlib import Path

from thinsim.guests.work import guest_work
from thinsim.report.document import Report, from_json
from thinsim.rig.vm import VM
from thinsim.scenario.file.rehearsal import require_possible
from thinsim.scenario.file.run import ScenarioRequest, chosen_variants
from thinsim.scenario.progress import Progress

SECONDS_PER_VARIANT = 1800.0
"""A guest that takes longer is taken to hang."""


async def run_scenario_in_guest(
    request: ScenarioRequest, file: Path, progress: Progress, *, fine: Collection[int]
) -> Report:
    """Run the scenario *file* in a guest and return its report, in which the rig is ``vm``.

    *fine* has the exit statuses with which ``thinsim run`` writes a report. The errors are those of
    ``reproduce_in_guest``, and InvalidValueError for an unknown variant or a step that cannot succeed.
    """
    variants = chosen_variants(request)
    require_possible(request.scenario, request.text, request.name, variants)
    words = ["run", str(file.resolve())]
    for name in request.variants:
        words += ["--variant", name]
    if request.repeatable:
        words.append("--repeatable")
    async with guest_work(request.directory, None, progress) as guest:
        seconds = SECONDS_PER_VARIANT * len(variants)
        report = from_json(await guest.bring_back(words, seconds=seconds, fine=fine), "the guest's report")
    command = ["thinsim", "run", request.name, "--rig", VM.name]
    for name in request.variants:
        command += ["--variant", name]
    return report.model_copy(update={"rig": VM.name, "name": request.name, "command": command})
