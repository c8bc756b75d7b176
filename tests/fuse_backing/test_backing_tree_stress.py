"""The file system stressors of stress-ng find no failure on a store that a plain directory does not have."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import Store, names_in
from tests.fuse_backing.hosts import Punched, on
from tests.host_file_systems import MIB, HostFileSystem

pytestmark = [pytest.mark.rig, pytest.mark.long]

STRESSORS = {
    "aiol": (),
    "chmod": (),
    "chown": (),
    "copy-file": ("--copy-file-bytes", "128m"),
    "dentry": (),
    "dir": (),
    "fallocate": ("--fallocate-bytes", "16m"),
    "fiemap": ("--fiemap-bytes", "8m"),
    "filename": (),
    "flock": (),
    "hdd": ("--hdd-bytes", "16m"),
    "iomix": ("--iomix-bytes", "16m"),
    "link": (),
    "lockf": (),
    "mmap": ("--mmap-bytes", "16m"),
    "open": (),
    "readahead": ("--readahead-bytes", "16m"),
    "rename": (),
    "seek": ("--seek-size", "8m", "--seek-punch"),
    "symlink": (),
    "sync-file": ("--sync-file-bytes", "8m"),
    "utime": (),
    "xattr": (),
}
"""The options of each stressor."""

MINUTE = int(os.environ.get("THINSIM_STRESS_SECONDS", "60"))
"""Seconds of the test that runs all stressors at once."""

PATIENCE = 60
FAILED = re.compile(r"^stress-ng: fail: +\[\d+\] (?:stress-ng-)?([a-z-]+): ", re.MULTILINE)
either_way = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


def failures(place: Path, stressors: Sequence[str], seconds: int) -> tuple[set[str], str]:
    """Return the stressors that failed in a directory, all running at once, and what stress-ng printed."""
    if shutil.which("stress-ng") is None:
        pytest.skip("needs stress-ng (apt-get install stress-ng)")
    chosen = [word for name in stressors for word in (f"--{name}", "1", *STRESSORS[name])]
    done = subprocess.run(
        ["stress-ng", *chosen, "--timeout", str(seconds), "--verify", "--temp-path", str(place)],
        capture_output=True,
        text=True,
        timeout=seconds + 2 * PATIENCE,
        check=False,
    )
    printed = done.stdout + done.stderr
    failed = set(FAILED.findall(printed))
    assert failed or done.returncode == 0, f"status {done.returncode}: {printed}"
    return failed, printed


def assert_no_more_than_the_host(store: Store, plain: Path, stressors: Sequence[str], seconds: int) -> None:
    found, printed = failures(store.mountpoint, stressors, seconds)
    if found:
        plain.mkdir()
        assert found <= failures(plain, stressors, seconds)[0], printed
        plain.rmdir()
    assert names_in(store.mountpoint) == []
    assert store.errors.read_bytes() == b""


@either_way
@pytest.mark.parametrize("stressor", STRESSORS)
def test_a_stressor_fails_on_a_store_only_where_the_host_fails(
    store: Store, tmp_path: Path, stressor: str
) -> None:
    assert_no_more_than_the_host(store, tmp_path / "plain", [stressor], 1)


@on("ext4")
@either_way
def test_all_stressors_at_once_leave_nothing_and_the_ledger_exact(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    store = fitting_store
    used = host.used()
    assert_no_more_than_the_host(store, host.root / "plain", list(STRESSORS), MINUTE)
    deadline = time.monotonic() + PATIENCE
    # The host keeps the blocks of a directory that was larger once: that of the store.
    kept = (store.directory.stat().st_blocks * 512) - 4096
    while host.used() - used > kept:  # the kernel forgets removed files some time later
        assert time.monotonic() < deadline, host.used() - used
    assert store.totals().freed > 0

    # After all that, the ledger and the host agree to the byte.
    file = punched("after")
    file.write(0, os.urandom(16 * MIB))
    os.fsync(file.fd)
    assert file.freed_by(lambda: [file.punch(at, MIB) for at in range(0, 16 * MIB, 2 * MIB)]) == 8 * MIB
    assert file.freed_by(lambda: os.ftruncate(file.fd, 4 * MIB)) > 0
