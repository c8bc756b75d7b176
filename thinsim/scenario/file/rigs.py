"""The rigs that scenario files and the pytest plugin run on: which one, and standing it up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.findings import Finding
from thinsim.machine.journal import Journal
from thinsim.rig import emulated, kernel, process
from thinsim.rig.interface import PoolShape, ScenarioRig
from thinsim.rig.probes import Choice, choose_rig

RIGS = ("kernel", "emulated", "process")
"""Best first."""


def choose_scenario_rig(wanted: str, findings: Sequence[Finding]) -> Choice:
    """Return the rig for *wanted*, a name or ``auto`` (of RIGS then). EnvironmentLacksError."""
    choice = choose_rig(wanted, findings)
    if wanted != "auto" or choice.rig in RIGS:
        return choice
    for rig in RIGS:
        try:
            choose_rig(rig, findings)
        except EnvironmentLacksError:
            continue
        return Choice(rig, f"scenario files do not run on {choice.rig}")
    raise EnvironmentLacksError(f"none of the rigs {', '.join(RIGS)} can run here")


@asynccontextmanager
async def stand_up(
    rig: str, directory: Path, shape: PoolShape, journal: Journal
) -> AsyncIterator[ScenarioRig]:
    """Stand up the rig of that name in *directory*, which exists. InvalidValueError for none of RIGS."""
    if rig == "process":
        async with process.stand_up(directory, shape) as of_process:
            yield of_process
    elif rig == "kernel":
        async with kernel.stand_up(directory, shape, journal) as of_kernel:
            yield of_kernel
    elif rig == "emulated":
        async with emulated.stand_up(directory, shape, journal) as of_daemon:
            yield of_daemon
    else:
        raise InvalidValueError(f"scenario files do not run on the rig {rig!r}; take {' or '.join(RIGS)}")
