"""Finds whether KVM runs a guest here: tried once, within a time limit, and remembered until reboot.

A ``/dev/kvm`` that opens says little: under nested virtualisation a guest may hang in its first
instructions, and only booting one tells.
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
AGAIN = "thinsim vm probe tries again"


async def decide(kernel: GuestKernel, say: Callable[[str], None], *, again: bool = False) -> Acceleration:
    """Return how to run *kernel*: from this boot's earlier try unless *again*, else by booting a guest."""
    lacking = _lacking()
    if lacking is not None:
        return lacking
    tried, place = Tried.now(kernel), usual_runtime_directory()
    known = None if again else recall(tried, place)
    if known is not None:
        say(f"KVM {'runs' if known.kvm else 'does not run'} guests, as a try in this boot found ({AGAIN})")
        return known
    found = await try_kvm(kernel, say)
    remember(tried, found, place, say)
    return found


def remembered(kernel: GuestKernel) -> Acceleration | None:
    """Return what is known without booting a guest: a lack, or what a try found in this boot; else None."""
    return _lacking() or recall(Tried.now(kernel), usual_runtime_directory())


def _lacking() -> Acceleration | None:
    if not KVM.exists():
        return Acceleration(False, f"{KVM} is missing")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Acceleration(False, f"no permission for {KVM}")
    return None


async def try_kvm(kernel: GuestKernel, say: Callable[[str], None]) -> Acceleration:
    """Boot *kernel* under KVM with nothing to do, and return whether it came up; whatever is known."""
    say(f"trying KVM once, for {_TRY_SECONDS} s at most")
    spec = GuestSpec(kernel, kvm=True, memory=Bytes(512 << 20), boot_seconds=_TRY_SECONDS)
    try:
        async with working_directory(None, say) as (directory, journal):
            await run_in_guest(spec, ["true"], directory, journal, out=_drop, err=_drop, cwd=Path("/"))
    # CombinedError: a guest that hangs can leave more than could be given back.
    except (ProgramFailedError, CombinedError) as error:
        return Acceleration(False, f"{KVM} is there, but a guest does not come up: {error}")
    return Acceleration(True, f"a guest came up under {KVM}")


def _drop(piece: bytes) -> None:
    """Nobody asked for what the guest of a try writes."""
