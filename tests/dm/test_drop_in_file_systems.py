"""File systems, fstrim, checks and fio with verify work on the drop-in's thin devices."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dm.drop_in_machine import DropInMachine

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        shutil.which("dmsetup") is None, reason="dmsetup is not installed (apt-get install dmsetup)"
    ),
]

MIB = 1 << 20
SECTORS = 512 * MIB // 512  # mkfs.xfs needs 300 MiB


@dataclass(frozen=True)
class MadeFileSystem:
    """A `MadeFileSystem` has the commands to make and check one, and its mount options beside its origin."""

    name: str
    mkfs: tuple[str, ...]
    check: tuple[str, ...]
    beside_origin: str = "rw"


EXT4 = MadeFileSystem("ext4", ("mkfs.ext4", "-q"), ("e2fsck", "-f", "-n"))
XFS = MadeFileSystem("xfs", ("mkfs.xfs", "-q"), ("xfs_repair", "-n"), "nouuid")

kinds = pytest.mark.parametrize("kind", [EXT4, XFS], ids=lambda kind: kind.name)


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def mounted(device: Path, target: Path, kind: MadeFileSystem, options: str = "rw") -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    run("mount", "-t", kind.name, "-o", options, device, target)
    try:
        yield target
    finally:
        run("umount", target)


def mapped(machine: DropInMachine, device: Path) -> int:
    """Return the bytes that the thin device maps."""
    return int(machine.dmsetup("status", device.name).split()[3]) * 512


@kinds
def test_files_live_are_checked_trimmed_and_discarded(
    machine: DropInMachine, tmp_path: Path, kind: MadeFileSystem
) -> None:
    machine.make_pool()
    device = machine.make_thin(kind.name, 1, SECTORS)
    run(*kind.mkfs, device)
    files = {f"file-{number}": os.urandom(5 * MIB + number) for number in range(4)}
    with mounted(device, tmp_path / "mounted", kind) as root:
        for name, content in files.items():
            (root / name).write_bytes(content)
    run(*kind.check, device)
    with mounted(device, tmp_path / "mounted", kind) as root:
        assert {name: (root / name).read_bytes() for name in files} == files
        full = mapped(machine, device)
        for name in list(files)[1:]:
            (root / name).unlink()
        # XFS frees a removed file's blocks in the background (fs/xfs/xfs_icache.c, xfs_inodegc_worker).
        deadline = time.monotonic() + 30
        while mapped(machine, device) > full - 14 * MIB and time.monotonic() < deadline:
            run("sync", "-f", root)
            trimmed = re.search(r"\((\d+) bytes\)", run("fstrim", "-v", root))
            assert trimmed is not None
            assert int(trimmed[1]) > 0
        assert mapped(machine, device) <= full - 14 * MIB
        assert (root / "file-0").read_bytes() == files["file-0"]
    run(*kind.check, device)
    run("blkdiscard", "-f", device)
    assert mapped(machine, device) == 0
    machine.dmsetup("remove", device.name)


@kinds
def test_a_snapshot_of_a_mounted_file_system_goes_its_own_way(
    machine: DropInMachine, tmp_path: Path, kind: MadeFileSystem
) -> None:
    machine.make_pool()
    origin = machine.make_thin("origin", 1, SECTORS)
    run(*kind.mkfs, origin)
    before = os.urandom(2 * MIB)
    with mounted(origin, tmp_path / "origin", kind) as root:
        (root / "before").write_bytes(before)
        machine.dmsetup("suspend", origin.name)
        machine.dmsetup("message", machine.pool, "0", "create_snap 2 1")
        machine.dmsetup("resume", origin.name)
        name = f"{machine.prefix}-snap"
        machine.dmsetup("create", name, "--table", f"0 {SECTORS} thin /dev/mapper/{machine.pool} 2")
        snap = Path("/dev/mapper", name)
        (root / "after").write_bytes(b"in the origin")
        with mounted(snap, tmp_path / "snap", kind, kind.beside_origin) as other:
            assert (other / "before").read_bytes() == before
            assert not (other / "after").exists()
            (other / "before").write_bytes(b"in the snapshot")
        assert (root / "before").read_bytes() == before
    for device in (origin, snap):
        run(*kind.check, device)
    with mounted(snap, tmp_path / "snap", kind) as other:
        assert (other / "before").read_bytes() == b"in the snapshot"


def test_an_xfs_snapshot_is_refused_beside_its_origin_without_nouuid(
    machine: DropInMachine, tmp_path: Path
) -> None:
    machine.make_pool()
    origin = machine.make_thin("origin", 1, SECTORS)
    run(*XFS.mkfs, origin)
    snap = machine.make_thin("snap", 2, SECTORS, "create_snap 2 1")
    with mounted(origin, tmp_path / "origin", XFS):
        (tmp_path / "snap").mkdir()
        refused = subprocess.run(
            ["mount", "-t", "xfs", str(snap), str(tmp_path / "snap")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 32, refused.stderr
        with mounted(snap, tmp_path / "snap", XFS, "nouuid,ro"):
            pass


@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed (apt-get install fio)")
def test_fio_reads_back_what_it_wrote_at_random(machine: DropInMachine, tmp_path: Path) -> None:
    machine.make_pool()
    device = machine.make_thin("fio", 1, SECTORS)
    run("blkdiscard", "-f", device)
    run(
        *("fio", "--name=verify", f"--filename={device}", "--rw=randrw"),
        *("--bsrange=4k-192k", "--size=48m", "--io_size=24m", "--direct=1", "--ioengine=libaio"),
        *("--iodepth=8", "--verify=crc32c", "--verify_fatal=1", "--randseed=1", "--fsync=64"),
        f"--aux-path={tmp_path}",
    )
    assert mapped(machine, device) > 8 * MIB
