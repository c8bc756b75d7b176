"""`reproduce_in_guest` runs ``reproduce --rig vm`` on the kernel rig of a throw-away guest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from thinsim.guests.work import ReportNames, guest_work
from thinsim.report.document import Report
from thinsim.report.reproduction_report import command_words
from thinsim.rig.setup.choice import find_setup
from thinsim.rig.vm import VM
from thinsim.scenario.progress import Progress
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, ReproductionRequest
from thinsim.scenario.unfinished import forget
from thinsim.workload.image.built import build_image

SECONDS_PER_SETTING = 1800.0
"""A guest that takes longer is taken to hang. Under TCG on a busy machine a setting takes some minutes."""

_IMAGE = "image.tar"


async def reproduce_in_guest(
    request: ReproductionRequest, progress: Progress, keep: Callable[[Report], object] = forget
) -> Report:
    """Boot a guest, run *request* in it on the kernel rig, power off, and return the report.

    *progress* also shows the guest's progress. Raise EnvironmentLacksError if a requirement for guests is
    missing; ProgramFailedError, with the last error line of the guest's command, if that command fails; and
    ProgramFailedError if the guest hangs. *keep* gets the report that a failed command has written.
    """
    if request.setup is not None:
        find_setup(request.setup, request.sysconfig)  # report an invalid file before a guest boots
    kernel = ["--guest-kernel", request.guest_kernel] if request.guest_kernel is not None else []
    command = ["thinsim", *command_words(request), "--rig", VM.name, *kernel]
    async with guest_work(request.directory, request.guest_kernel, progress) as guest:
        if request.image is None and request.history is None:
            # The guest reads this machine's files over a slow file system; one archive is faster.
            progress.say("building an image from this machine's files")
            request = replace(request, image=guest.share / _IMAGE)
            await trio.to_thread.run_sync(_build, guest.share / _IMAGE)
        return await guest.bring_back(
            command_words(request),
            ReportNames("reproduce", command),
            seconds=SECONDS_PER_SETTING * len(request.settings),
            cpus=1 if request.repeatable else 2,
            keep=keep,
        )


def _build(path: Path) -> None:
    def go_on(done: int) -> None:
        trio.from_thread.check_cancelled()

    build_image(path, size=BUILT_IMAGE_BYTES, progress=go_on)
