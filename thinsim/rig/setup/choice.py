"""Lists the set-ups of containerd's documentation by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from thinsim.errors import InvalidValueError
from thinsim.machine.journal import Journal
from thinsim.rig.kernel_pool import PoolMaker, on_loop_devices
from thinsim.rig.setup.lvm import find_lvm, on_logical_volumes
from thinsim.rig.setup.sysconfig import StorageSetup
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter.daemon_config import PLUGIN
from thinsim.units import Bytes, Sectors

LOOP_SCRIPT, LVM = "loop-script", "lvm"
SETUPS = (LOOP_SCRIPT, LVM)

LOOP_SCRIPT_SHAPE = PoolShape(
    "devpool",
    data_size=Bytes(100 << 30),
    metadata_size=Bytes(10 << 30),
    block_size=Sectors(128),
    low_water_blocks=32768,
    features=(),
)
"""What the script of containerd's documentation makes of sparse files and loop devices.

Its sizes, its block size, its low water mark, and no feature words (docs/snapshotters/devmapper.md there).
So new blocks are zeroed, and a partly written one takes all its bytes on the host.
"""

_ROOT_PATH = "/var/lib/containerd/devmapper"
_BASE_IMAGE_SIZE = "10GB"


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
        pool = LOOP_SCRIPT_SHAPE.name
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
    return partial(on_loop_devices, LOOP_SCRIPT_SHAPE, uuid=f"thinsim-{journal.path.stem}")


def config_toml(pool: str, *, discard_blocks: bool) -> str:
    """Return a config.toml for *pool*; the documentation has *discard_blocks* on, or says nothing of it."""
    values = {"pool_name": pool, "root_path": _ROOT_PATH, "base_image_size": _BASE_IMAGE_SIZE}
    lines = ["version = 2", "", "[plugins]", f"  [plugins.{json.dumps(PLUGIN)}]"]
    lines += [f"    {key} = {json.dumps(value)}" for key, value in values.items()]
    if discard_blocks:
        lines.append("    discard_blocks = true")
    return "\n".join(lines) + "\n"
