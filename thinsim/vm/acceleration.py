"""Whether KVM runs a guest here: tried once, within a time limit, and remembered until the next boot.

A ``/dev/kvm`` that opens says little: under nested virtualisation a guest may hang in its first
instructions, and only booting one tells.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from thinsim.errors import BenchError
from thinsim.rig.state import boot_id, state_directory
from thinsim.rig.working_directory import working_directory
from thinsim.units import Bytes
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.kernels import GuestKernel

KVM = Path("/dev/kvm")
_TRY_SECONDS = 25
_CACHE = "vm-acceleration.json"


@dataclass(frozen=True, slots=True)
class Acceleration:
    """Whether guests run under KVM, and why or why not."""

    kvm: bool
    why: str


async def decide(kernel: GuestKernel, say: Callable[[str], None], *, again: bool = False) -> Acceleration:
    """Return how to run *kernel*: from this boot's earlier answer unless *again*, else by booting a guest."""
    known = None if again else remembered(kernel)
    if known is not None:
        return known
    found = await _try(kernel, say)
    _remember(kernel, found)
    return found


def remembered(kernel: GuestKernel) -> Acceleration | None:
    """Return what an earlier try with *kernel* found in this boot of the machine; None for none."""
    try:
        saved = json.loads((state_directory() / _CACHE).read_text())
        if (saved["boot"], saved["kernel"]) != (boot_id(), str(kernel.image)):
            return None
        return Acceleration(bool(saved["kvm"]), str(saved["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _try(kernel: GuestKernel, say: Callable[[str], None]) -> Acceleration:
    if not KVM.exists():
        return Acceleration(False, f"{KVM} is missing")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Acceleration(False, f"no permission for {KVM}")
    say(f"trying KVM once, for {_TRY_SECONDS} s at most")
    spec = GuestSpec(kernel, kvm=True, memory=Bytes(512 << 20), boot_seconds=_TRY_SECONDS)
    try:
        async with working_directory(None, say) as (directory, journal):
            await run_in_guest(spec, ["true"], directory, journal, out=_drop, err=_drop, cwd=Path("/"))
    except BenchError as error:
        return Acceleration(False, f"{KVM} is there, but a guest does not come up: {error}")
    return Acceleration(True, f"a guest came up under {KVM}")


def _remember(kernel: GuestKernel, found: Acceleration) -> None:
    directory = state_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"boot": boot_id(), "kernel": str(kernel.image), **asdict(found)})
    new = directory / f"{_CACHE}.{os.getpid()}"
    new.write_text(text)
    new.rename(directory / _CACHE)


def _drop(piece: bytes) -> None:
    """Nobody asked for what the guest of a try writes."""
