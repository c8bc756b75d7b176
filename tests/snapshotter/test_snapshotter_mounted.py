"""The tests of files in containerd's SnapshotterSuite run on every rig whose devices can be mounted.

Source: ``core/snapshots/testsuite/testsuite.go``, with the same names. Each test applies changes layer by
layer to snapshots, and all of them to one plain directory. The last mount must equal that directory.
"""

import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.snapshotter.snapshotter_rigs import MOUNTS
from tests.snapshotter.tapped_snapshotters import TappedSnapshotters
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

pytestmark = pytest.mark.rigs(*sorted(MOUNTS))

FileChange = Callable[[Path], None]


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Return the type, mode, owner and content of each file below *root*, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content: object = path.readlink()
        else:
            content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (
            stat.filemode(status.st_mode),
            status.st_uid,
            status.st_gid,
            content,
        )
    return found


@asynccontextmanager
async def mounted(tapped: TappedSnapshotters, mounts: Sequence[Mount]) -> AsyncIterator[Path]:
    (mount,) = mounts
    assert tapped.rig.mounter is not None
    target = tapped.rig.directory / f"mount-{Path(mount.source).name}"
    await tapped.rig.mounter.mount(mount.source, target, mount.type, mount.options)
    try:
        yield target
    finally:
        await tapped.rig.mounter.unmount(target)


async def in_layers(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, *changes: FileChange
) -> str:
    """Commit one layer per change and return the name of the last one."""
    parent = ""
    for number, change in enumerate(changes):
        async with mounted(tapped, await snapshotter.prepare(f"key-{number}", parent)) as root:
            await trio.to_thread.run_sync(change, root)
        parent = f"layer-{number}"
        await snapshotter.commit(parent, f"key-{number}")
    return parent


async def compare(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, flat: Path, *changes: FileChange
) -> None:
    flat.mkdir()
    for change in changes:
        change(flat)
    top = await in_layers(tapped, snapshotter, *changes)
    async with mounted(tapped, await snapshotter.view("view", top)) as root:
        assert await trio.to_thread.run_sync(tree, root) == tree(flat)
    await snapshotter.remove("view")


def write(name: str, content: bytes = b"content", mode: int = 0o644) -> FileChange:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        (root / name).chmod(mode)

    return change


def directory(name: str, mode: int = 0o755) -> FileChange:
    def change(root: Path) -> None:
        (root / name).mkdir(parents=True)
        (root / name).chmod(mode)

    return change


def all_of(*changes: FileChange) -> FileChange:
    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


def chown(name: str, uid: int, gid: int) -> FileChange:
    return lambda root: os.chown(root / name, uid, gid)


def removal(name: str) -> FileChange:
    def change(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def renaming(name: str, new: str) -> FileChange:
    return lambda root: (root / name).rename(root / new) and None


async def test_layer_file_update(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    base = all_of(write("foo", b"foo\n", 0o777), directory("a"), write("etc/hosts", b"mydomain 10.0.0.1"))
    updates = [
        all_of(write("bar", b"bar\n"), write("etc/hosts", b"mydomain 10.0.0.%d" % n), removal("foo"))
        if n == 0
        else write("etc/hosts", b"mydomain 10.0.0.%d" % n)
        for n in range(5)
    ]
    await compare(tapped, snapshotter, tmp_path / "flat", base, *updates)


async def test_remove_directory_in_lower_layer(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    changes = (
        all_of(directory("dir1"), write("dir1/f1", b"1111")),
        all_of(removal("dir1"), directory("dir1"), write("dir1/f2", b"2222")),
        write("dir1/f3", b"3333"),
    )
    await compare(tapped, snapshotter, tmp_path / "flat", *changes)


async def test_chown(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path) -> None:
    changes = (
        all_of(write("opt/a/b/file.txt", b"hello"), chown("opt", 1, 1), chown("opt/a/b/file.txt", 1, 1)),
        all_of(write("root/other", b"x"), chown("opt", 2, 2), chown("opt/a/b/file.txt", 2, 3)),
    )
    await compare(tapped, snapshotter, tmp_path / "flat", *changes)


async def test_directory_permission_on_commit(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    changes = (
        all_of(
            *(all_of(directory(f"dir{n}", 0o700 + n), chown(f"dir{n}", 1000 + n, n)) for n in range(1, 6))
        ),
        all_of(removal("dir1"), directory("dir1"), chown("dir1", 3, 3), chown("dir5", 5, 5)),
        all_of(write("dir2/f"), chown("dir3", 7, 7)),
    )
    await compare(tapped, snapshotter, tmp_path / "flat", *changes)


async def test_deleted_files_in_child_snapshot(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    changes = (
        all_of(write("foo", b"foo\n"), directory("a"), write("a/bar", b"bar\n")),
        all_of(write("foo", b"foo bar\n"), write("b"), removal("a/bar")),
        removal("b"),
    )
    await compare(tapped, snapshotter, tmp_path / "flat", *changes)


async def test_move_file_from_lower_layer(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    def move(root: Path) -> None:
        (root / "dir1/f2").hardlink_to(root / "dir1/f1")
        (root / "dir1/f1").unlink()

    base = all_of(write("dir1/f1", b"Hello"), directory("dir2", 0o700), write("dir2/f2", b"x" * 70000))
    await compare(tapped, snapshotter, tmp_path / "flat", base, move)


async def test_rename(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path) -> None:
    changes = (
        all_of(directory("dir1", 0o700), directory("somefiles"), write("somefiles/f1", b"was here first!")),
        all_of(renaming("dir1", "dir2"), renaming("somefiles/f1", "somefiles/f2")),
        all_of(directory("dir1"), renaming("somefiles", "dir1/somefiles")),
    )
    await compare(tapped, snapshotter, tmp_path / "flat", *changes)


async def test_view_readonly(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter) -> None:
    top = await in_layers(tapped, snapshotter, write("file"))
    async with mounted(tapped, await snapshotter.view("view", top)) as root:
        with pytest.raises(OSError, match="Read-only file system") as refused:
            await trio.to_thread.run_sync(write("other"), root)
        assert refused.value.errno == errno.EROFS


async def test_root_permission(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter) -> None:
    async with mounted(tapped, await snapshotter.prepare("key")) as root:
        assert stat.S_IMODE(root.stat().st_mode) == 0o755


@pytest.mark.long
async def test_128_layers_mount(
    tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter, tmp_path: Path
) -> None:
    base = all_of(write("bottom", b"way at the bottom\n", 0o777), write("overwriteme", b"FIRST!\n", 0o777))
    layers = [
        all_of(write("overwriteme", b"%d WAS HERE!\n" % n), write(f"f{n}", b"%d" % n)) for n in range(127)
    ]
    await compare(tapped, snapshotter, tmp_path / "flat", base, *layers)


@pytest.mark.parametrize("fs_type", ["ext4", "ext2", "xfs"])
async def test_snapshots_of_one_parent_are_mounted_side_by_side_and_apart(
    tapped: TappedSnapshotters, fs_type: str
) -> None:
    """Test containerd's TestMultipleXfsMounts: xfs refuses the same UUID twice without ``nouuid``."""
    snapshotter = await tapped.open(fs_type=fs_type, base_image_size="300Mb")
    top = await in_layers(tapped, snapshotter, write("file", b"of the parent"))
    async with (
        mounted(tapped, await snapshotter.prepare("one", top)) as one,
        mounted(tapped, await snapshotter.prepare("two", top)) as two,
    ):
        await trio.to_thread.run_sync(write("file", b"of one"), one)
        assert await trio.to_thread.run_sync((two / "file").read_bytes) == b"of the parent"
        assert await trio.to_thread.run_sync((one / "file").read_bytes) == b"of one"


async def test_usage_of_a_mebibyte(tapped: TappedSnapshotters, snapshotter: DevmapperSnapshotter) -> None:
    """Test containerd's TestSnapshotterSuite/DevMapperUsage."""
    top = await in_layers(tapped, snapshotter, write("file"))
    async with mounted(tapped, await snapshotter.prepare("key", top)) as root:
        await trio.to_thread.run_sync(write("large", os.urandom(1 << 20)), root)
    assert (await snapshotter.usage("key")).size >= 1 << 20
    await snapshotter.commit("large", "key")
    assert (await snapshotter.usage("large")).size >= 1 << 20
