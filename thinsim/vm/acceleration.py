"""`decide` finds out whether KVM works here: it boots a guest once and remembers the result until reboot.

A ``/dev/kvm`` that opens proves little. Under nested virtualisation a guest may hang in its first
instructions, so only a guest that boots is a proof. The boot has a time limit.
"""

import os
from collections.abc import Callable
from pathlib import Path

from thinsim.errors import CombinedError, ProgramFailedError
from thinsim.machine.sockets import usual_runtime_directory
from thinsim.machine.working_directory import working_directory
from thinsim.units import Bytes
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.kernels import GuestKernel
from thinsim.vm.kvm_tries import Acceleration, Tried, recall, remember

KVM = Path("/dev/kvm")
_TRY_SECONDS = 25
AGAIN = "to try again, run: thinsim vm probe"


async def decide(kernel: GuestKernel, report: Callable[[str], None], *, again: bool = False) -> Acceleration:
    """Return how to run *kernel*.

    The answer comes from an earlier try in this boot. If there was none, or with *again*, a guest is booted.
    """
    lacking = _lacking()
    if lacking is not None:
        return lacking
    tried, place = Tried.now(kernel), usual_runtime_directory()
    known = None if again else recall(tried, place)
    if known is not None:
        report(
            f"KVM {'runs' if known.kvm else 'does not run'} guests, according to a try earlier in this boot "
            f"({AGAIN})"
        )
        return known
    found = await try_kvm(kernel, report)
    remember(tried, found, place, report)
    return found


def remembered(kernel: GuestKernel) -> Acceleration | None:
    """Return the answer if no guest has to be booted for it, else None.

    The reason is a lack of this machine, or the result of a try in this boot.
    """
    return _lacking() or recall(Tried.now(kernel), usual_runtime_directory())


def _lacking() -> Acceleration | None:
    if not KVM.exists():
        return Acceleration(False, f"{KVM} is missing")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Acceleration(False, f"no permission for {KVM}")
    return None


async def try_kvm(kernel: GuestKernel, report: Callable[[str], None]) -> Acceleration:
    """Boot *kernel* under KVM, even if an earlier result is known, and return whether it came up."""
    report(f"trying KVM once, for at most {_TRY_SECONDS} s")
    spec = GuestSpec(kernel, kvm=True, memory=Bytes(512 << 20), boot_seconds=_TRY_SECONDS)
    try:
        async with working_directory(None, report) as (directory, journal):
            await run_in_guest(spec, ["true"], directory, journal, out=_drop, err=_drop, cwd=Path("/"))
    # A CombinedError means that a guest that hangs has left resources that could not be released.
    except (ProgramFailedError, CombinedError) as error:
        return Acceleration(False, f"{KVM} exists, but a guest did not boot: {error}")
    return Acceleration(True, f"a guest booted under {KVM}")


def _drop(piece: bytes) -> None:
    """Discard the output of the guest."""
