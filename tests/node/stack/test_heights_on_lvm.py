"""XFS on a thin volume of LVM, on a loop device, on btrfs: each height is found, and discards live.

`make test-vm` runs this in a guest, whose kernel has device-mapper.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.node.stack.mounted_image import BTRFS, MIB, XFS, mounted, mounted_image
from thinsim.block import loop
from thinsim.node.stack.height import HeightKind
from thinsim.node.stack.probe import probe
from thinsim.node.stack.walking import stack_of
from thinsim.rig.setup.lvm_commands import lvm_conf

NEEDED = ("lvm", "mkfs.xfs", "mkfs.btrfs")
_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"

pytestmark = [
    pytest.mark.rig,
    pytest.mark.kernel,
    *(
        pytest.mark.skipif(shutil.which(name, path=_PLACES) is None, reason=f"{name} is not installed")
        for name in NEEDED
    ),
]

Lvm = Callable[..., None]


def need_file_system(name: str) -> None:
    subprocess.run(["modprobe", "-q", name], check=False)
    known = Path("/proc/filesystems").read_text().split()
    if name not in known:
        pytest.skip(f"this kernel has no {name}")


@contextmanager
def lvm_of_its_own(device: Path, directory: Path) -> Iterator[Lvm]:
    """Yield a function that runs LVM, which sees only *device* and keeps its files in *directory*."""
    for made in (directory, directory / "dev", directory / "lock", directory / "profile"):
        made.mkdir()
    (directory / "lvm.conf").write_text(lvm_conf(device, directory))
    environment = {**os.environ, "LVM_SYSTEM_DIR": str(directory), "LVM_SUPPRESS_FD_WARNINGS": "1"}

    def lvm(*words: str) -> None:
        done = subprocess.run(
            ["lvm", *words], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    yield lvm


@contextmanager
def thin_volume(directory: Path, group: str) -> Iterator[Path]:
    """Yield the node of a thin volume in a pool of LVM whose disk is a loop device on *directory*."""
    image = directory / "disk"
    with image.open("xb") as file:
        file.truncate(900 * MIB)
    attached = loop.attach(image)
    try:
        with lvm_of_its_own(attached.path, directory / "lvm") as lvm:
            lvm("pvcreate", str(attached.path))
            lvm("vgcreate", group, str(attached.path))
            try:
                lvm("lvcreate", "-y", "--type", "thin-pool", "-c", "64k", "-L", "600M", "-n", "pool", group)
                lvm("lvcreate", "-y", "-V", "400M", "--thinpool", "pool", "-n", "thin", group)
                subprocess.run(["dmsetup", "mknodes"], check=False)
                yield Path("/dev/mapper", f"{group}-thin")
            finally:
                lvm("vgremove", "-f", "-y", group)
                subprocess.run(["dmsetup", "mknodes"], check=False)
    finally:
        loop.detach(attached, deferred=True)


async def test_xfs_on_a_thin_volume_on_a_loop_device_on_btrfs(tmp_path: Path) -> None:
    for name in ("xfs", "btrfs"):
        need_file_system(name)
    group = f"heights{os.getpid()}"
    with (
        mounted_image(tmp_path, BTRFS, size=1500 * MIB) as host,
        thin_volume(host.root, group) as node,
        mounted(node, tmp_path / "xfs", XFS) as root,
    ):
        stack = await stack_of(root)
        found = await probe(root, stack, 32 * MIB, lambda text: None)
    kinds = [each.kind for each in stack.heights]
    assert kinds[:2] == [HeightKind.FILE_SYSTEM, HeightKind.THIN]
    assert HeightKind.THIN_POOL in kinds
    pool = kinds.index(HeightKind.THIN_POOL)
    assert stack.heights[1].volume == f"{group}/thin"
    assert stack.heights[pool].pool_block == 65536
    # The pool's data volume is linear; below it are the loop device, its image, and the btrfs of the image.
    assert kinds[pool + 1 : pool + 5] == [
        HeightKind.LINEAR,
        HeightKind.LOOP,
        HeightKind.IMAGE,
        HeightKind.FILE_SYSTEM,
    ]
    assert stack.heights[pool + 4].type == "btrfs"
    (trial,) = found.trials
    assert (trial.death, found.smallest_that_lived) == (None, 32 * MIB)
    freed = {effect.height: effect.freed for effect in trial.effects if effect.freed is not None}
    assert freed[pool] >= 28 * MIB
