"""``reproduce --rig vm``: the same on the kernel rig of a throw-away guest, its measurements brought back."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from thinsim.errors import BenchError, EnvironmentLacksError
from thinsim.report.reproduction_json import from_json
from thinsim.rig.setup.choice import find_setup
from thinsim.rig.working_directory import working_directory
from thinsim.scenario.image.built import build_image
from thinsim.scenario.reproduce import BUILT_IMAGE_BYTES, Progress, Reproduction, Request
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.guest_script import SCRATCH
from thinsim.vm.kernels import find_kernel
from thinsim.vm.probe import probe_vm

RIG = "vm"
SECONDS_PER_SETTING = 1800.0
"""A guest that takes longer hangs: under TCG, on a busy machine, a setting takes some minutes."""

_RESULT = "result.json"
_IMAGE = "image.tar"


async def reproduce_in_guest(request: Request, progress: Progress) -> Reproduction:
    """Boot a guest, run *request* in it on the kernel rig, power off. The guest's progress is *progress*'s.

    EnvironmentLacksError names what is missing for a guest; BenchError has the words of the guest's
    command when it fails, or says that the guest was ended because it hung.
    """
    if request.setup is not None:
        find_setup(request.setup, request.sysconfig)  # what is wrong with it is wrong in the guest, too
    lacks = [finding for finding in probe_vm() if not finding.present and finding.needed_by]
    if lacks:
        missing = "; ".join(f"{lack.name}: {lack.detail} ({lack.fix})" for lack in lacks)
        raise EnvironmentLacksError(f"no guest can run here: {missing}")
    kernel = find_kernel(request.guest_kernel)
    acceleration = await decide(kernel, progress.say)
    async with working_directory(request.directory, progress.say) as (directory, journal):
        share = directory / "share"
        share.mkdir(mode=0o700)
        if request.image is None and request.history is None:
            # The guest sees this machine's files by way of a slow file system: one archive is read faster.
            progress.say("building an image from this machine's files")
            request = replace(request, image=share / _IMAGE)
            await trio.to_thread.run_sync(_build, share / _IMAGE)
        speed = "KVM" if acceleration.kvm else f"without KVM, so slowly: {acceleration.why}"
        progress.say(f"booting Linux {kernel.release} in a guest ({speed})")
        spec = GuestSpec(kernel, acceleration.kvm, cpus=1 if request.repeatable else 2, shares=(share,))
        said = _Lines(progress.say)
        status = await run_in_guest(
            spec,
            command(request, share / _RESULT),
            directory,
            journal,
            out=_drop,  # the table; it is printed here
            err=said.take,
            seconds=SECONDS_PER_SETTING * len(request.settings),
        )
        said.end()
        if status:
            raise BenchError(f"in the guest: {said.last.removeprefix('thinsim: ')} (exit status {status})")
        result = from_json(json.loads((share / _RESULT).read_text()))
    return replace(result, rig=RIG)


def command(request: Request, result: Path) -> list[str]:
    """Return the command line that runs *request* in the guest and writes its measurements to *result*."""
    words = [sys.executable, "-P", "-m", "thinsim", "reproduce", "--rig", "kernel", "--dir", str(SCRATCH)]
    words += ["--subject", request.subject, "--container-mb", str(request.container_bytes >> 20)]
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
    return [*words, "--json", str(result)]


class _Lines:
    """Hands whole lines on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""
        self.last = "it said nothing"

    def take(self, piece: bytes) -> None:
        """Take what came."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                self.last = text
                self._say(f"  {text}")

    def end(self) -> None:
        """Nothing more comes."""
        if self._rest:
            self.take(b"\n")


def _build(path: Path) -> None:
    def go_on(done: int) -> None:
        trio.from_thread.check_cancelled()

    build_image(path, size=BUILT_IMAGE_BYTES, progress=go_on)


def _drop(piece: bytes) -> None:
    """Nobody wants it."""
