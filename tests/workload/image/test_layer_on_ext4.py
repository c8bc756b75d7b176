"""The error for a layer that does not fit on a thin device's ext4 names the entry and the reason."""

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workload.image.tar_building import archive, directory, file, pax
from tests.workload.image.test_image_archive import oci, written
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.snapshotter.interface import Mount
from thinsim.workload.image import InvalidImageError, open_image, unpack_layer
from thinsim.workload.mounted_files import MountedFiles

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount"),
    pytest.mark.skipif(
        shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4: apt-get install e2fsprogs"
    ),
]

XATTR = b"SCHILY.xattr."
ACL = bytes.fromhex("02000000010006000000000004000400000000002000040000000000")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """Return a loop device with an ext4 of 8 MiB, made with containerd's options."""
    image = tmp_path / "device"
    with image.open("xb") as made:
        made.truncate(8 << 20)
    options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", options, image], check=True)
    found = subprocess.run(
        ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    yield found
    subprocess.run(["losetup", "--detach", found], check=True)


@pytest.fixture
def root(device: str, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "root"
    place.mkdir()
    subprocess.run(["mount", device, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_an_xattr_too_large_for_ext4_is_the_layers_fault_not_a_full_device(root: Path) -> None:
    unpack_layer(io.BytesIO(archive([pax((XATTR + b"user.a", b"v" * 3900)), file(b"fits")])), root)
    assert os.getxattr(root / "fits", "user.a") == b"v" * 3900
    for records in (
        [(XATTR + b"user.a", b"v" * 5000)],
        [(XATTR + b"user.%d" % number, b"v" * 500) for number in range(12)],
    ):
        layer = archive([pax(*records), file(b"does not")])
        with pytest.raises(
            InvalidImageError, match=r"'does not' has an xattr 'user\.\w+' of \d+ bytes, for whi"
        ):
            unpack_layer(io.BytesIO(layer), root)


def test_a_default_acl_on_a_file_is_the_layers_fault(root: Path) -> None:
    records = pax((XATTR + b"system.posix_acl_default", ACL))
    unpack_layer(io.BytesIO(archive([records, directory(b"d/")])), root)
    with pytest.raises(InvalidImageError, match=r"'f' has an xattr 'system\.posix_acl_default' that can't"):
        unpack_layer(io.BytesIO(archive([records, file(b"f")])), root)


async def test_the_error_for_an_image_that_does_not_fit_names_its_layer_and_the_free_space(
    device: str, tmp_path: Path, journal: Journal
) -> None:
    layer = archive([file(b"large", os.urandom(12 << 20))])
    where = tmp_path / "mounted"
    where.mkdir()
    files = MountedFiles(RecordedMounter(journal), where)
    with (
        open_image(written(tmp_path, oci([layer]))) as image,
        pytest.raises(OSError, match="large") as caught,
    ):
        await files.unpack([Mount("ext4", device)], image, 1)
    assert caught.value.errno == errno.ENOSPC
    text = str(caught.value.strerror)
    assert text.startswith(f"{tmp_path}/image.tar: layer sha256:")
    assert "entry 'large' can't be made: No space left on device" in text
    assert "of which 0 are free" in text
    assert "base_image_size" in text
    assert not os.path.ismount(where)
