"""The set-ups by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from thinsim.errors import InvalidValueError
from thinsim.machine.journal import Journal
from thinsim.rig.kernel_pool import PoolMaker, on_loop_devices
from thinsim.rig.setup import loop_script
from thinsim.rig.setup.lvm import find_lvm, on_logical_volumes
from thinsim.rig.setup.stanza import config_toml
from thinsim.rig.setup.sysconfig import StorageSetup

LOOP_SCRIPT, LVM = "loop-script", "lvm"
SETUPS = (LOOP_SCRIPT, LVM)


@dataclass(frozen=True, slots=True)
class Setup:
    """How a pool comes onto its devices, and what containerd is told of it then."""

    name: str
    make_pool: Callable[[Journal], PoolMaker]
    config_toml: str
    notes: tuple[str, ...] = ()
    """What is not carried out, a line each."""


def find_setup(name: str, sysconfig: Path | None) -> Setup:
    """Return the set-up of that name, one of SETUPS; *sysconfig* is LVM's file, None: the documentation's.

    InvalidValueError for what is wrong in the file; EnvironmentLacksError where a program is missing.
    """
    if name == LOOP_SCRIPT and sysconfig is None:
        pool = loop_script.SHAPE.name
        return Setup(name, _loop_script, config_toml(pool, discard_blocks=True))
    if name == LVM:
        asked = StorageSetup.load(sysconfig)
        find_lvm()
        return Setup(
            name,
            lambda journal: partial(on_logical_volumes, asked),
            config_toml(asked.pool_device, discard_blocks=False),
            (f"DEVS={asked.device}: a loop device on the backing store stands for it", *asked.notes),
        )
    raise InvalidValueError(f"set-up {name!r} has no file to read" if sysconfig else f"no set-up {name!r}")


def _loop_script(journal: Journal) -> PoolMaker:
    # By its UUID the pool is known for the run's own: the script's name for it is anybody's.
    return partial(on_loop_devices, loop_script.SHAPE, uuid=f"thinsim-{journal.path.stem}")
