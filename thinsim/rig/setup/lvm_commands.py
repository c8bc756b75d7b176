"""Says what container-storage-setup has LVM do for a thin pool: command lines, and a configuration.

Pure.

LVM sees the one device and keeps everything in a directory of the run's own: nothing of the machine's own
LVM, its configuration, devices, locks or profiles, takes part. Of what container-storage-setup does this is
left out: it puts a partition on the device (here the volume group is on the device itself), and has the pool
extended when it fills up (dmeventd; off here).
"""

import json
import re
from pathlib import Path

from thinsim.rig.setup.sysconfig import StorageSetup

_CONF = """\
# For one run: LVM on one device.
config {{ profile_dir = {profiles} }}
devices {{
    # Nodes and links of volumes go there.
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
    """Return an lvm.conf for *device* alone, everything else below *directory*."""
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
    """Return the command that prints free bytes, all bytes and UUID, with commas between."""
    words = ["vgs", "--noheadings", "--nosuffix", "--units", "b", "--separator", ","]
    return [*words, "-o", "vg_free,vg_size,vg_uuid", setup.volume_group]


def make_pool(setup: StorageSetup, free: int, whole: int) -> list[str]:
    """Return the command that makes the pool in a group of *whole* bytes, *free* of them free.

    Without zeroing, and with LVM's own default for discards, passdown. InvalidValueError where the least
    data size does not fit.
    """
    words = ["lvcreate", "-y", "--type", "thin-pool", "--zero", "n", "-c", setup.chunk_size]
    words += ["--poolmetadatasize", setup.metadata_size_word(whole), *setup.data_size_words(free, whole)]
    return [*words, "-n", setup.pool, setup.volume_group]


def device_uuid(group_uuid: str) -> str:
    """Return what the device-mapper UUIDs of a group's volumes begin with (lvm2, build_dm_uuid)."""
    return f"LVM-{group_uuid.replace('-', '')}"
