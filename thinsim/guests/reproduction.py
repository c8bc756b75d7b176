"""`reproduce_in_guest` runs ``reproduce --rig vm`` on the kernel rig of a throw-away guest."""

import json
from dataclasses import replace
from pathlib import Path

import trio

from thinsim.guests.work import guest_work
from thinsim.report.reproduction_json import from_json
from thinsim.rig.setup.choice import find_setup
from thinsim.rig.vm import VM
from thinsim.scenario.progress import Progress
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, Reproduction, ReproductionRequest
from thinsim.workload.image.built import build_image

SECONDS_PER_SETTING = 1800.0
"""A guest that takes longer is taken to hang. Under TCG on a busy machine a setting takes some minutes."""

_IMAGE = "image.tar"


async def reproduce_in_guest(request: ReproductionRequest, progress: Progress) -> Reproduction:
    """Boot a guest, run *request* in it on the kernel rig, power off, and return the result.

    *progress* also shows the guest's progress. Raise EnvironmentLacksError if a requirement for guests is
    missing; ProgramFailedError, with the last error line of the guest's command, if that command fails; and
    ProgramFailedError if the guest hangs.
    """
    if request.setup is not None:
        find_setup(request.setup, request.sysconfig)  # report an invalid file before a guest boots
    async with guest_work(request.directory, request.guest_kernel, progress) as guest:
        if request.image is None and request.history is None:
            # The guest reads this machine's files over a slow file system; one archive is faster.
            progress.say("building an image from this machine's files")
            request = replace(request, image=guest.share / _IMAGE)
            await trio.to_thread.run_sync(_build, guest.share / _IMAGE)
        document = await guest.bring_back(
            command_words(request),
            seconds=SECONDS_PER_SETTING * len(request.settings),
            cpus=1 if request.repeatable else 2,
        )
        result = from_json(json.loads(document))
    return replace(result, rig=VM.name)


def command_words(request: ReproductionRequest) -> list[str]:
    """Return the arguments of ``thinsim`` for *request*, without the rig and the directories."""
    words = ["reproduce", "--subject", request.subject]
    words += ["--container-mb", str(request.container_bytes >> 20)]
    for setting in request.settings:
        words += ["--setting", setting.slug]
    if request.image is not None:
        words += ["--image", str(request.image.resolve())]
    if request.history is not None:
        words += ["--history", str(request.history.resolve())]
    if request.repeatable:
        words.append("--repeatable")
    if request.setup is not None:
        words += ["--setup", request.setup]
    if request.sysconfig is not None:
        words += ["--sysconfig", str(request.sysconfig.resolve())]
    return words


def _build(path: Path) -> None:
    def go_on(done: int) -> None:
        trio.from_thread.check_cancelled()

    build_image(path, size=BUILT_IMAGE_BYTES, progress=go_on)
