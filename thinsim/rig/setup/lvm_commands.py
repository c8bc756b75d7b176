"""These functions return the LVM commands and configuration of container-storage-setup for a thin pool.

Pure.

LVM sees only the one device and keeps all its files in a directory of the run. It does not use the machine's
own LVM configuration, devices, locks or profiles. Two steps of container-storage-setup are left out. It puts
a partition on the device; here the volume group is on the device itself. And it has dmeventd extend a pool
that fills up; here that is off.
"""

import json
import re
from pathlib import Path

from thinsim.rig.setup.sysconfig import StorageSetup

_CONF = """\
# LVM on one device, for one run.
config {{ profile_dir = {profiles} }}
devices {{
    # LVM creates the nodes and links of its volumes there.
    dir = {links}
    scan = [ "/dev" ]
    filter = [ {accepted}, "r|.*|" ]
    global_filter = [ {accepted}, "r|.*|" ]
    use_devicesfile = 0
    obtain_device_list_from_udev = 0
    external_device_info_source = "none"
    hints = "none"
}}
backup {{ backup = 0 archive = 0 }}
log {{ syslog = 0 }}
global {{
    locking_dir = {locks}
    use_lvmpolld = 0
    use_lvmlockd = 0
    # thinsim runs the checker itself.
    thin_check_executable = ""
}}
activation {{
    udev_sync = 0
    udev_rules = 0
    monitoring = 0
    thin_pool_autoextend_threshold = 100
}}
"""


def lvm_conf(device: Path, directory: Path) -> str:
    """Return an lvm.conf that shows LVM only *device* and keeps everything else below *directory*."""
    return _CONF.format(
        profiles=json.dumps(str(directory / "profile")),
        links=json.dumps(str(directory / "dev")),
        accepted=json.dumps(f"a|^{re.escape(str(device))}$|"),
        locks=json.dumps(str(directory / "lock")),
    )


def make_physical_volume(device: Path) -> list[str]:
    """Return the command that makes *device* a physical volume."""
    return ["pvcreate", str(device)]


def make_volume_group(setup: StorageSetup, device: Path) -> list[str]:
    """Return the command that makes the volume group."""
    return ["vgcreate", setup.volume_group, str(device)]


def look_at_volume_group(setup: StorageSetup) -> list[str]:
    """Return the command that prints the free bytes, the size in bytes and the UUID, separated by commas."""
    words = ["vgs", "--noheadings", "--nosuffix", "--units", "b", "--separator", ","]
    return [*words, "-o", "vg_free,vg_size,vg_uuid", setup.volume_group]


def make_pool(setup: StorageSetup, free: int, whole: int) -> list[str]:
    """Return the command that makes the pool in a group of *whole* bytes, *free* of them free.

    The pool does not zero blocks, and has LVM's own default for discards, passdown. InvalidValueError if the
    least data size does not fit.
    """
    words = ["lvcreate", "-y", "--type", "thin-pool", "--zero", "n", "-c", setup.chunk_size]
    words += ["--poolmetadatasize", setup.metadata_size_word(whole), *setup.data_size_words(free, whole)]
    return [*words, "-n", setup.pool, setup.volume_group]


def device_uuid(group_uuid: str) -> str:
    """Return the beginning of the device-mapper UUIDs of a group's volumes (lvm2, build_dm_uuid)."""
    return f"LVM-{group_uuid.replace('-', '')}"
