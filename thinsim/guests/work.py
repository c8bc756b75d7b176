"""Runs a command of thinsim's in a throw-away guest, and brings back the document that it writes there."""

import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import ProgramFailedError
from thinsim.machine.journal import Journal
from thinsim.machine.working_directory import working_directory
from thinsim.rig.vm import VM
from thinsim.scenario.progress import Progress
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.guest_script import SCRATCH
from thinsim.vm.kernels import GuestKernel, find_kernel
from thinsim.vm.kvm_tries import Acceleration
from thinsim.vm.probe import check_guest

_RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class GuestWork:
    """A guest that has not been booted yet; what is put into *share* it sees, and may change."""

    share: Path
    progress: Progress
    kernel: GuestKernel
    acceleration: Acceleration
    directory: Path
    journal: Journal

    async def bring_back(
        self, words: Sequence[str], *, seconds: float, cpus: int = 2, fine: Collection[int] = (0,)
    ) -> str:
        """Boot, run ``thinsim WORDS --json FILE`` on the kernel rig, power off; return the document.

        The guest's progress is *progress*'s. ProgramFailedError has the words of the command when its exit
        status is none of *fine*, or says that the guest was ended because it took longer than *seconds*.
        """
        speed = "KVM" if self.acceleration.kvm else f"without KVM, so slowly: {self.acceleration.why}"
        self.progress.say(f"booting Linux {self.kernel.release} in a guest ({speed})")
        said = _Lines(self.progress.say)
        status = await run_in_guest(
            GuestSpec(self.kernel, self.acceleration.kvm, cpus=cpus, shares=(self.share,)),
            in_the_guest(words, self.share / _RESULT),
            self.directory,
            self.journal,
            out=_drop,  # the table; it is printed here
            err=said.take,
            seconds=seconds,
        )
        said.end()
        if status not in fine:
            raise ProgramFailedError(
                f"in the guest: {said.last.removeprefix('thinsim: ')} (exit status {status})"
            )
        return (self.share / _RESULT).read_text()


@asynccontextmanager
async def guest_work(
    directory: Path | None, release: str | None, progress: Progress
) -> AsyncIterator[GuestWork]:
    """Prepare work for a guest with the kernel *release*, by default the newest; files go into *directory*.

    EnvironmentLacksError names what is missing for a guest.
    """
    check_guest(release)
    kernel = find_kernel(release)
    acceleration = await decide(kernel, progress.say)
    async with working_directory(directory, progress.say) as (work, journal):
        share = work / "share"
        share.mkdir(mode=0o700)
        yield GuestWork(share, progress, kernel, acceleration, work, journal)


def in_the_guest(words: Sequence[str], result: Path) -> list[str]:
    """Return the command line of the guest: *words* on its kernel rig, with its measurements in *result*."""
    command = [sys.executable, "-P", "-m", "thinsim", *words]
    return [*command, "--rig", VM.inside, "--dir", str(SCRATCH), "--json", str(result)]


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


def _drop(piece: bytes) -> None:
    """Nobody wants it."""
