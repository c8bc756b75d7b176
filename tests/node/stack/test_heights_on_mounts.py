"""Real mounts, files and devices have the right heights; a path without storage is one clear error."""

import os
import tempfile
from pathlib import Path

import pytest

from fuse_backing.mounts import mount_of
from tests.nobody import as_nobody, python_of_nobody
from tests.node.stack.mounted_image import EXT4, MIB, XFS, attached_image, mounted, mounted_image, run
from thinsim.block import loop
from thinsim.errors import EnvironmentLacksError, InvalidValueError, ThinsimError, UnknownNameError
from thinsim.node.stack.height import HeightKind
from thinsim.node.stack.passing import least_sizes
from thinsim.node.stack.probe import probe
from thinsim.node.stack.verdict import Death
from thinsim.node.stack.walking import heights_of, stack_of

pytestmark = [pytest.mark.rig, pytest.mark.extents]


JOURNAL = 64 << 10
"""The bytes that ext4 may write to its journal during a probe."""


def silent(text: str) -> None:
    """Print nothing."""


async def test_a_file_system_in_an_image_is_on_a_loop_device_on_the_image(tmp_path: Path) -> None:
    with mounted_image(tmp_path) as made:
        (made.root / "folder").mkdir()
        found = await heights_of(made.root / "folder")
        assert [each.kind for each in found[:4]] == [
            HeightKind.FILE_SYSTEM,
            HeightKind.LOOP,
            HeightKind.IMAGE,
            HeightKind.FILE_SYSTEM,
        ]
        names = [each.name for each in found[:3]]
        assert names == [str(made.root), str(made.device), str(made.image)]
        host = os.statvfs(tmp_path)
        around = mount_of(tmp_path.resolve())
        assert around is not None
        assert (found[3].name, found[3].type) == (str(around.mountpoint), around.fstype)
        assert found[1].limits is not None
        assert found[1].limits.granularity == found[2].unit == host.f_bsize
        assert found[2].held == made.image.stat().st_blocks * 512
        assert found[0].note == "by fstrim only"


async def test_a_file_a_bind_mount_and_the_device_lead_to_the_same_stack(tmp_path: Path) -> None:
    with mounted_image(tmp_path) as made:
        other = tmp_path / "other"
        other.mkdir()
        run("mount", "--bind", made.root, other)
        try:
            through_bind = await heights_of(other)
        finally:
            run("umount", other)
        straight = await heights_of(made.root)
        assert through_bind[0].name == str(other)
        assert through_bind[1:] == straight[1:]
        (made.root / "file").write_bytes(os.urandom(MIB))
        run("sync", "-f", made.root)
        file = await heights_of(made.root / "file")
        assert (file[0].kind, file[0].held) == (HeightKind.FILE, MIB)
        assert [each.name for each in file[1:]] == [each.name for each in straight]
        assert [each.name for each in await heights_of(made.device)] == [each.name for each in straight[1:]]


async def test_a_deleted_image_is_named_and_its_file_system_is_found(tmp_path: Path) -> None:
    with mounted_image(tmp_path) as made:
        made.image.unlink()
        _, loop_device, image, host, *_ = await heights_of(made.root)
        assert (loop_device.name, image.name) == (str(made.device), str(made.image))
        assert "deleted" in image.note
        assert host.device == f"{os.major(tmp_path.stat().st_dev)}:{os.minor(tmp_path.stat().st_dev)}"


async def test_a_loop_device_on_a_device_goes_on_with_that_device(tmp_path: Path) -> None:
    with attached_image(tmp_path) as (device, image):
        upper = loop.attach(device)
        try:
            found = await heights_of(upper.path)
        finally:
            loop.detach(upper)
        assert [each.name for each in found[:3]] == [str(upper.path), str(device), str(image)]
        assert [each.kind for each in found[:3]] == [HeightKind.LOOP, HeightKind.LOOP, HeightKind.IMAGE]


async def test_an_overlay_goes_on_with_its_upperdir(tmp_path: Path) -> None:
    with mounted_image(tmp_path) as made:
        for name in ("lower", "upper", "work"):
            (made.root / name).mkdir()
        merged = tmp_path / "merged"
        merged.mkdir()
        options = f"lowerdir={made.root}/lower,upperdir={made.root}/upper,workdir={made.root}/work"
        run("mount", "-t", "overlay", "-o", options, "overlay", merged)
        try:
            found = await heights_of(merged)
            with pytest.raises(InvalidValueError, match=f"run: thinsim heights --probe {made.root}"):
                await probe(merged, await stack_of(merged), None, silent)
        finally:
            run("umount", merged)
        assert [each.type for each in found[:2]] == ["overlay", "ext4"]
        assert found[1].name == str(made.root)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/nonexistent", UnknownNameError, "/nonexistent does not exist"),
        ("/proc", InvalidValueError, "/proc is on proc, which has no device"),
        ("/dev/null", InvalidValueError, "/dev/null is a character device"),
    ],
)
async def test_a_path_without_storage_is_one_clear_error(
    path: str, kind: type[ThinsimError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await heights_of(Path(path))


async def test_a_tmpfs_a_pipe_and_a_stale_node_are_refused(tmp_path: Path) -> None:
    run("mount", "-t", "tmpfs", "none", tmp_path)
    try:
        with pytest.raises(InvalidValueError, match="is on tmpfs, which has no device"):
            await heights_of(tmp_path)
    finally:
        run("umount", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidValueError, match="is no file, directory or block device"):
        await heights_of(tmp_path / "pipe")
    os.mknod(tmp_path / "node", 0o60600, os.makedev(240, 77))
    with pytest.raises(EnvironmentLacksError, match="no block device 240:77"):
        await heights_of(tmp_path / "node")


@pytest.mark.parametrize("make", [EXT4, XFS], ids=["ext4", "xfs"])
async def test_the_probe_finds_that_discards_of_a_loop_device_arrive_at_the_host(
    tmp_path: Path, make: tuple[str, ...]
) -> None:
    with mounted_image(tmp_path, make) as made:
        free = os.statvfs(made.root).f_bfree
        found = await probe(made.root, await stack_of(made.root), 8 * MIB, silent)
        (trial,) = found.trials
        assert (trial.death, found.smallest_that_lived, trial.size) == (None, 8 * MIB, 8 * MIB)
        device, image = trial.effects
        assert device.arrived is not None
        assert device.arrived >= 8 * MIB
        assert device.at_once == 0
        assert image.freed is not None
        assert abs(image.freed - 8 * MIB) <= JOURNAL
        assert {path.name for path in made.root.iterdir()} <= {"lost+found"}
        assert os.statvfs(made.root).f_bfree == free


async def test_the_probe_separates_the_discards_that_came_before_fstrim(tmp_path: Path) -> None:
    with mounted_image(tmp_path, options="discard") as made:
        found = await probe(made.root, await stack_of(made.root), 8 * MIB, silent)
        device, image = found.trials[0].effects
        assert device.at_once is not None
        assert device.at_once >= 8 * MIB
        assert image.freed is not None
        assert image.freed >= 8 * MIB - JOURNAL


async def test_the_probe_names_a_loop_device_that_takes_no_discards(tmp_path: Path) -> None:
    with attached_image(tmp_path) as (device, _):
        with mounted(device, tmp_path / "root") as root:
            Path("/sys/block", device.name, "queue/discard_max_bytes").write_text("0")
            stack = await stack_of(root)
            found = await probe(root, stack, MIB, silent)
        reason = "discards are switched off in its queue (discard_max_bytes is 0)"
        assert (stack.heights[1].passes, stack.heights[1].reason) == (False, reason)
        assert least_sizes(stack.heights) is None
        (trial,) = found.trials
        assert (trial.trimmed, trial.death) == (None, Death(1, reason))


async def test_a_probe_without_a_writable_file_system_is_refused_with_advice(tmp_path: Path) -> None:
    with attached_image(tmp_path) as (device, _):
        with pytest.raises(InvalidValueError, match="make a file system on it, mount that"):
            await probe(device, await stack_of(device), None, silent)
        with mounted(device, tmp_path / "root", options="ro") as root:
            with pytest.raises(InvalidValueError, match=f"run: thinsim heights --probe {root}"):
                await probe(device, await stack_of(device), None, silent)
            with pytest.raises(ThinsimError, match="cannot be probed: it is mounted read-only"):
                await probe(root, await stack_of(root), None, silent)
            with pytest.raises(EnvironmentLacksError, match="not enough for a file of 1 TiB"):
                await probe(tmp_path, await stack_of(tmp_path), 1 << 40, silent)


def test_a_user_without_permission_gets_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = as_nobody([python_of_nobody(), "-m", "thinsim", "heights", str(closed / "file")], None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "permission denied" in done.stderr


def test_a_probe_by_another_user_than_root_is_one_line() -> None:
    # Other users have no access to pytest's own directories.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        with mounted_image(Path(directory)) as made:
            made.root.chmod(0o777)
            words = ["-m", "thinsim", "heights", "--probe", "-q", str(made.root)]
            done = as_nobody([python_of_nobody(), *words], None)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"fstrim of {made.root} is not permitted. Probes need root: run with sudo" in done.stderr
