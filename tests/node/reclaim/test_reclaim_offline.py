"""``thinsim reclaim --offline`` frees the blocks of a pool that is not active, in files and on devices."""

import hashlib
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fuse_backing.allocation import allocated_bytes
from tests.dm.metadata_soundness import assert_sound
from tests.node.reclaim.live_pool import BLOCK, EMULATED, live_pool
from tests.node.reclaim.loop_partition import needs_partitions, partition_of
from thinsim.block import loop
from thinsim.dm.metadata_device import MetadataFile
from thinsim.thin.metadata.view import MetadataView

pytestmark = [pytest.mark.extents, pytest.mark.rig]

LOST = 40
FIRST = 1 << 20
"""The first byte of a partition."""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the data and the metadata of a pool that lost 40 blocks and has 40 others."""
    with live_pool(EMULATED, tmp_path, monkeypatch) as pool:
        pool.lose(LOST)
        pool.assert_sound()
    return tmp_path / "data", tmp_path / "metadata"


def offline(data: Path, metadata: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "thinsim", "reclaim", "--offline", str(data), str(metadata), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def held(data: Path) -> int:
    with data.open("rb") as file:
        return allocated_bytes(file.fileno(), 0, data.stat().st_size)


def used_content(data: Path, blocks: range) -> str:
    with data.open("rb") as file:
        digest = hashlib.sha256()
        for block in blocks:
            file.seek(block * BLOCK)
            digest.update(file.read(BLOCK))
        return digest.hexdigest()


USED = range(1, 2 * LOST, 2)
"""The data blocks of the device that is left: the two devices were written in turn."""


def test_the_free_blocks_of_files_are_punched(images: tuple[Path, Path]) -> None:
    data, metadata = images
    before, content = hashlib.sha256(metadata.read_bytes()).hexdigest(), used_content(data, USED)
    promise = json.loads(offline(data, metadata, "--dry-run", "--json").stdout)
    assert (promise["promised"], promise["pieces"], promise["discarded"]) == (LOST * BLOCK, LOST, 0)
    assert held(data) == 2 * LOST * BLOCK
    done = offline(data, metadata)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == (
        f"{data}: the host freed 2.5 MiB of 2.5 MiB (100.0%) by hole punches of {data}"
    )
    assert held(data) == LOST * BLOCK
    assert used_content(data, USED) == content
    assert hashlib.sha256(metadata.read_bytes()).hexdigest() == before
    assert_sound(metadata)


def test_the_free_blocks_of_a_device_are_discarded(images: tuple[Path, Path]) -> None:
    data, metadata = images
    content = used_content(data, USED)
    attached = loop.attach(data)
    try:
        done = offline(attached.path, metadata)
    finally:
        loop.detach(attached)
    assert done.returncode == 0, done.stderr
    assert f"by discards of {attached.path}" in done.stdout
    assert held(data) == LOST * BLOCK
    assert used_content(data, USED) == content


@needs_partitions
def test_only_blocks_that_the_host_holds_are_discarded_below_a_partition(
    images: tuple[Path, Path], tmp_path: Path
) -> None:
    data, metadata = images
    content, size = used_content(data, USED), data.stat().st_size
    disk = tmp_path / "disk"
    with disk.open("xb") as file, data.open("rb") as source:
        file.truncate(FIRST + size)
        for block in range(2 * LOST):
            source.seek(block * BLOCK)
            file.seek(FIRST + block * BLOCK)
            file.write(source.read(BLOCK))
    with partition_of(disk, first=FIRST, length=size) as partition:
        done = offline(partition, metadata, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["promised"], result["freed"], result["pieces"]) == (LOST * BLOCK, LOST * BLOCK, LOST)
        assert used_content(partition, USED) == content
    assert held(disk) == LOST * BLOCK


@pytest.mark.parametrize("which", [0, 1], ids=["data", "metadata"])
def test_a_file_below_a_loop_device_is_refused(images: tuple[Path, Path], which: int) -> None:
    attached = loop.attach(images[which])
    try:
        done = offline(*images)
    finally:
        loop.detach(attached)
    assert (done.returncode, done.stderr) == (
        1,
        f"thinsim: {images[which]} is in use by {attached.path}: losetup --detach {attached.path}, if nobody "
        "needs it\n",
    )
    assert held(images[0]) == 2 * LOST * BLOCK


def test_metadata_that_is_not_clean_is_refused(images: tuple[Path, Path]) -> None:
    data, metadata = images
    with closing(MetadataFile(metadata)) as store:
        root = MetadataView(store).superblock.details_root
    with metadata.open("r+b") as file:
        file.seek(root * 4096)
        file.write(b"\xff" * 4096)
    done = offline(data, metadata)
    assert done.returncode == 1
    assert f"{metadata} is not clean: details tree: metadata block {root}" in done.stderr
    assert "thin_repair" in done.stderr
    assert held(data) == 2 * LOST * BLOCK


def test_devices_that_are_not_of_one_pool_are_refused(images: tuple[Path, Path], tmp_path: Path) -> None:
    data, metadata = images
    other = tmp_path / "other"
    other.write_bytes(bytes(1 << 20))
    done = offline(other, metadata)
    assert done.returncode == 1
    assert done.stderr == (
        f"thinsim: {other} has 1048576 bytes, and the data of {metadata} needs 268435456: they are not of "
        "one pool\n"
    )
    swapped = offline(metadata, data)
    assert swapped.returncode == 1
    assert f"{data} holds no pool's metadata" in swapped.stderr
    assert "Traceback" not in swapped.stderr
    assert held(data) == 2 * LOST * BLOCK
