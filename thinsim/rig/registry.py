"""`RIGS` lists the rigs, best first; `choose_rig` picks one that can run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from thinsim.did_you_mean import unknown_name
from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.findings import Finding
from thinsim.rig.emulated import EMULATED
from thinsim.rig.kernel import KERNEL
from thinsim.rig.process import PROCESS
from thinsim.rig.record import Need, RigRecord
from thinsim.rig.vm import VM

RIGS: tuple[RigRecord, ...] = (KERNEL, EMULATED, PROCESS, VM)
"""Every rig, best first. A new rig is a file with its record and one line here."""

HERE: tuple[RigRecord, ...] = tuple(rig for rig in RIGS if rig.running is not None)
"""The rigs that run on this machine, not in a guest."""

LASTING: tuple[RigRecord, ...] = tuple(rig for rig in RIGS if rig.lasting_device_mapper is not None)
"""The rigs whose pools can outlive the command."""

AUTO = "auto"
"""The name that selects the best rig that can run."""


@dataclass(frozen=True, slots=True)
class RigChoice:
    """A `RigChoice` is the rig to use, and the reason for it or against better rigs."""

    rig: RigRecord
    why: str
    """The reason, with everything that better rigs lack."""
    passed_over_for: str = ""
    """The first thing that the next better rig lacks; empty if no rig was passed over."""

    @property
    def note(self) -> str:
        """Return one short line for the beginning of a run; ``thinsim doctor`` has the details."""
        if not self.passed_over_for:
            return f"rig {self.rig.name}: {self.why}"
        return f"rig {self.rig.name}: no {self.passed_over_for}; thinsim doctor lists what the others need"


def rig_names(rigs: Iterable[RigRecord] = RIGS) -> tuple[str, ...]:
    """Return the names of *rigs*, in their order."""
    return tuple(rig.name for rig in rigs)


def find_rig(name: str, rigs: Iterable[RigRecord] = RIGS) -> RigRecord:
    """Return the rig with that name. InvalidValueError names the nearest of *rigs*, or all."""
    known = {rig.name: rig for rig in rigs}
    if name not in known:
        raise InvalidValueError(unknown_name("rig", name, known))
    return known[name]


def probe_rigs(directory: Path, rigs: Iterable[RigRecord] = RIGS) -> list[Finding]:
    """Check each need of *rigs* once; *directory* is the place for the pool's files."""
    needed_by: dict[Need, list[str]] = {}
    for rig in rigs:
        for need in rig.needs:
            needed_by.setdefault(need, []).append(rig.name)
    return [
        replace(finding, needed_by=tuple(rig_names) if need.required else ())
        for need, rig_names in needed_by.items()
        for finding in need.look(directory)
    ]


def probe_machine(directory: Path) -> list[Finding]:
    """Check the needs of the rigs that run on this machine, but not those of a guest."""
    return probe_rigs(directory, HERE)


def choose_rig(wanted: str, findings: Iterable[Finding]) -> RigChoice:
    """Return the rig for *wanted*, ``auto`` or a name. EnvironmentLacksError lists what that rig lacks."""
    lacks = {rig: [f for f in findings if not f.present and rig.name in f.needed_by] for rig in RIGS}
    if wanted != AUTO:
        rig = find_rig(wanted)
        if lacks[rig]:
            raise EnvironmentLacksError(
                f"rig {wanted!r} can't run here:\n"
                + "\n".join(f"  {f.name}: {f.detail}; {f.fix}" for f in lacks[rig])
            )
        return RigChoice(rig, "requested")
    candidates = [rig for rig in RIGS if rig.chosen_by_auto]
    for rig in candidates:
        if not lacks[rig]:
            better = candidates[: candidates.index(rig)]
            passed_over = [f"{other.name} ({_summary(lacks[other])})" for other in better]
            if not better:
                return RigChoice(rig, "the best rig")
            return RigChoice(rig, f"passed over {', '.join(passed_over)}", lacks[better[-1]][0].name)
    raise EnvironmentLacksError(
        "no rig can run here:\n" + "\n".join(f"  {rig.name}: {_summary(lacks[rig])}" for rig in candidates)
    )


def _summary(findings: Iterable[Finding]) -> str:
    return "; ".join(f"{f.name}: {f.detail}" for f in findings)
