"""`measure_on` measures the heights of the emulated dm-thin, of this kernel's, or of a guest's."""

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from thinsim import __version__
from thinsim.conformance.answers.recordings import RECORDED
from thinsim.conformance.heights.cases import DiscardCase, MeasuredHeights, from_json, to_json
from thinsim.conformance.heights.measure import measure_heights, shape_for
from thinsim.conformance.subjects.subject import Say, Side, kernel_source
from thinsim.errors import InvalidValueError, ProgramFailedError
from thinsim.machine.journal import Journal
from thinsim.machine.working_directory import working_directory
from thinsim.rig import emulated
from thinsim.rig import kernel as of_kernel
from thinsim.rig.loop_rig import LoopRig
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.guest_script import SCRATCH
from thinsim.vm.kernels import find_kernel
from thinsim.vm.probe import check_guest

_GUEST_SECONDS = 3600


async def measure_on(
    side: Side,
    wanted: Sequence[DiscardCase],
    say: Say,
    *,
    directory: Path | None = None,
    kernel: str | None = None,
) -> MeasuredHeights:
    """Run the cases on *side*, with its files below *directory*; a guest boots the release *kernel*.

    EnvironmentLacksError names what the machine lacks.
    """
    async with working_directory(directory, say) as (place, journal):
        if side is Side.VM:
            return await _in_guest(wanted, place, journal, say, kernel)
        shape = shape_for(f"thinsim-{journal.path.stem}")
        source = kernel_source() if side is Side.KERNEL else _emulator()
        running = of_kernel.running if side is Side.KERNEL else emulated.running
        async with running(place, shape, journal) as rig:
            assert isinstance(rig, LoopRig)
            return await measure_heights(rig, source, wanted, say)


def read_heights(path: Path) -> MeasuredHeights:
    """Read a recording; InvalidValueError names its fault."""
    try:
        return from_json(json.loads(path.read_text()))
    except (ValueError, InvalidValueError) as error:
        raise InvalidValueError(f"{path}: {error}") from None


def write_heights(path: Path, measured: MeasuredHeights) -> None:
    """Write a recording."""
    path.write_text(json.dumps(to_json(measured), indent=1) + "\n")


def recorded_heights() -> list[Path]:
    """Return the recordings that come with thinsim."""
    return sorted(RECORDED.glob("heights-*.json"))


def _emulator() -> str:
    return f"thinsim {__version__}, emulated on Linux {platform.release()}"


async def _in_guest(
    wanted: Sequence[DiscardCase], directory: Path, journal: Journal, say: Say, release: str | None
) -> MeasuredHeights:
    check_guest(release)
    kernel = find_kernel(release)
    acceleration = await decide(kernel, say)
    share = directory / "share"
    share.mkdir(mode=0o700)
    answers = share / "heights.json"
    words = [sys.executable, "-P", "-m", "thinsim", "conformance", "heights", "--to", str(answers)]
    words += ["--on", Side.KERNEL.value, "--dir", str(SCRATCH)]
    for case in wanted:
        words += ["--only", case.name]
    status = await run_in_guest(
        GuestSpec(kernel, acceleration.kvm, shares=(share,)),
        words,
        directory,
        journal,
        out=_drop,
        err=lambda piece: say(piece.decode(errors="replace").rstrip("\n")),
        seconds=_GUEST_SECONDS,
    )
    # The command in the guest also compares with the recordings: its status shows the result of that.
    if not answers.exists():
        raise ProgramFailedError(f"thinsim in the guest exited with status {status} and wrote no answers")
    return read_heights(answers)


def _drop(piece: bytes) -> None:
    """Discard the table of the guest: the caller prints its own."""
