"""`GuestWork` runs a thinsim command in a throw-away guest and returns the report that it writes."""

import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import ProgramFailedError, WrongDocumentError
from thinsim.machine.journal import Journal
from thinsim.machine.working_directory import working_directory
from thinsim.report.document import Report, from_json
from thinsim.rig.vm import VM
from thinsim.scenario.progress import Progress
from thinsim.scenario.unfinished import forget
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.guest_script import SCRATCH
from thinsim.vm.kernels import GuestKernel, find_kernel
from thinsim.vm.kvm_tries import Acceleration
from thinsim.vm.probe import check_guest

_RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class ReportNames:
    """A `ReportNames` has the user's word for the work, and the command that repeats it on this machine."""

    name: str
    command: list[str]

    def given_to(self, report: Report) -> Report:
        """Return *report*, which the guest made on its kernel rig, with the names of this machine."""
        return report.model_copy(update={"rig": VM.name, "name": self.name, "command": self.command})


@dataclass(frozen=True, slots=True)
class GuestWork:
    """A `GuestWork` describes a guest that has not booted yet. The guest can read and write *share*."""

    share: Path
    progress: Progress
    kernel: GuestKernel
    acceleration: Acceleration
    directory: Path
    journal: Journal

    async def bring_back(
        self,
        words: Sequence[str],
        names: ReportNames,
        *,
        seconds: float,
        cpus: int = 2,
        fine: Collection[int] = (0,),
        keep: Callable[[Report], object] = forget,
    ) -> Report:
        """Boot, run ``thinsim WORDS --json FILE`` on the kernel rig, power off; return the report.

        *progress* also shows the guest's progress. Raise ProgramFailedError, with the last error line of the
        command, if its exit status is not in *fine*; and ProgramFailedError if the guest takes longer than
        *seconds* and is killed. *keep* gets the report of a command that failed, took too long or was
        interrupted, if it wrote one.
        """
        speed = "KVM" if self.acceleration.kvm else f"slow, without KVM: {self.acceleration.why}"
        self.progress.say(f"booting Linux {self.kernel.release} in a guest ({speed})")
        lines = _Lines(self.progress.say)
        result = self.share / _RESULT
        try:
            status = await run_in_guest(
                GuestSpec(self.kernel, self.acceleration.kvm, cpus=cpus, shares=(self.share,)),
                in_the_guest(words, result),
                self.directory,
                self.journal,
                out=_drop,  # the table, which this process prints itself
                err=lines.take,
                seconds=seconds,
            )
        except BaseException:
            _keep_partly(result, names, keep)
            raise
        lines.end()
        return collected(result, names, status, lines.last, fine, keep)


@asynccontextmanager
async def guest_work(
    directory: Path | None, release: str | None, progress: Progress
) -> AsyncIterator[GuestWork]:
    """Prepare work for a guest with the kernel *release*, by default the newest, with files in *directory*.

    Raise EnvironmentLacksError, which names the missing requirement, if no guest can run here.
    """
    check_guest(release)
    kernel = find_kernel(release)
    acceleration = await decide(kernel, progress.say)
    async with working_directory(directory, progress.say) as (work, journal):
        share = work / "share"
        share.mkdir(mode=0o700)
        yield GuestWork(share, progress, kernel, acceleration, work, journal)


def collected(
    result: Path,
    names: ReportNames,
    status: int,
    last: str,
    fine: Collection[int],
    keep: Callable[[Report], object],
) -> Report:
    """Return the report in *result*, which a command of the guest wrote before it ended with *status*.

    If the status is not in *fine*, *keep* gets the report, if there is one. ProgramFailedError then has
    *last*, the last error line of the command.
    """
    if status in fine:
        return names.given_to(from_json(result.read_text(), "the guest's report"))
    _keep_partly(result, names, keep)
    raise ProgramFailedError(f"in the guest: {last.removeprefix('thinsim: ')} (exit status {status})")


def _keep_partly(result: Path, names: ReportNames, keep: Callable[[Report], object]) -> None:
    # The command may have ended before it had anything to report.
    with suppress(FileNotFoundError, WrongDocumentError):
        keep(names.given_to(from_json(result.read_text(), "the guest's report")))


def in_the_guest(words: Sequence[str], result: Path) -> list[str]:
    """Return the guest's command line: *words* on the kernel rig, with the JSON document in *result*."""
    command = [sys.executable, "-P", "-m", "thinsim", *words]
    return [*command, "--rig", VM.inside, "--dir", str(SCRATCH), "--json", str(result)]


class _Lines:
    """A `_Lines` splits output into lines and calls *show* with each one."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._rest = b""
        self.last = "no error text"

    def take(self, piece: bytes) -> None:
        """Accept a piece of output."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                self.last = text
                self._show(f"  {text}")

    def end(self) -> None:
        """Show an unfinished last line."""
        if self._rest:
            self.take(b"\n")


def _drop(piece: bytes) -> None:
    """Discard a piece of output."""
