"""`SETUPS` names the set-ups in the containerd documentation; `find_setup` finds one by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from thinsim.did_you_mean import unknown_name
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
"""The pool that the script in the containerd documentation makes of sparse files and loop devices.

It has the script's sizes, block size and low water mark, and no feature words (docs/snapshotters/devmapper.md
in containerd). So the pool zeroes new data blocks, and a partly written one takes all its bytes on the host.
"""

_ROOT_PATH = "/var/lib/containerd/devmapper"
_BASE_IMAGE_SIZE = "10GB"


@dataclass(frozen=True, slots=True)
class Setup:
    """A `Setup` creates a pool on its devices and has the config.toml of containerd for it."""

    name: str
    make_pool: Callable[[Journal], PoolMaker]
    config_toml: str
    notes: tuple[str, ...] = ()
    """The parts that thinsim does not carry out, one line each."""


def find_setup(name: str, sysconfig: Path | None) -> Setup:
    """Return the set-up of that name, one of SETUPS; *sysconfig* is LVM's file, None: the documented one.

    InvalidValueError lists the problems of the file; EnvironmentLacksError names a program that is missing.
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
            (f"DEVS={asked.device}: a loop device on the backing store replaces it", *asked.notes),
        )
    raise InvalidValueError(
        f"the set-up {name!r} reads no file" if sysconfig else unknown_name("set-up", name, SETUPS)
    )


def _loop_script(journal: Journal) -> PoolMaker:
    # The UUID identifies the run's own pool: other programs may use the script's name as well.
    return partial(on_loop_devices, LOOP_SCRIPT_SHAPE, uuid=f"thinsim-{journal.path.stem}")


def config_toml(pool: str, *, discard_blocks: bool) -> str:
    """Return a config.toml for *pool*. The documentation sets *discard_blocks* or leaves it out."""
    values = {"pool_name": pool, "root_path": _ROOT_PATH, "base_image_size": _BASE_IMAGE_SIZE}
    lines = ["version = 2", "", "[plugins]", f"  [plugins.{json.dumps(PLUGIN)}]"]
    lines += [f"    {key} = {json.dumps(value)}" for key, value in values.items()]
    if discard_blocks:
        lines.append("    discard_blocks = true")
    return "\n".join(lines) + "\n"
