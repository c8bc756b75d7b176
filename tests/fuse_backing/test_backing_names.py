"""Names of any bytes are files of their own, and no name leads out of a store's directory."""

import errno
import os
import stat
from pathlib import Path

import pytest
import trio

from fuse_backing.errors import ControlError
from fuse_backing.inodes import InodeTable
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import Store, host_fallocate, names_in

BLOCK = 4096
PUNCH = 3

rig = pytest.mark.rig


@rig
@pytest.mark.parametrize(
    "name",
    [b"x" * 255, b"\xff" * 255, b"\xff\xfe", "é".encode() * 127, b"\n\t\x7f", b"...", b" ", b"-rf", b"\\"],
)
def test_a_name_of_any_bytes_is_a_file_of_its_own(store: Store, name: bytes) -> None:
    path, moved = store.file(os.fsdecode(name)), store.file(os.fsdecode(name[:-1] + b"!"))
    with path.open("xb") as file:
        file.write(b"x" * BLOCK)
        file.flush()
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
    assert names_in(store.directory) == names_in(store.mountpoint) == [path.name]
    assert [event.file for event in store.events()] == [path.name]
    path.rename(moved)
    assert names_in(store.directory) == [moved.name]
    moved.unlink()
    assert names_in(store.directory) == []


@rig
def test_a_name_of_256_bytes_is_too_long_for_every_operation(store: Store) -> None:
    store.file("a").touch()
    long = store.file("x" * 256)
    for operation in (long.touch, long.stat, long.unlink, lambda: store.file("a").rename(long)):
        with pytest.raises(OSError, match="too long") as raised:
            operation()
        assert raised.value.errno == errno.ENAMETOOLONG
    assert names_in(store.directory) == ["a"]


def test_no_name_leads_out_of_the_directory(tmp_path: Path) -> None:
    """The kernel never sends such names, but the tree refuses them as well."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "dir" / "link").symlink_to(tmp_path)
    directory = os.open(tmp_path / "dir", os.O_RDONLY)
    try:
        table = InodeTable(directory)
        for name in (
            b"",
            b".",
            b"..",
            b"../secret",
            b"./link",
            b"/etc/passwd",
            b"a\0b",
            b"link/",
            b"link/secret",
        ):
            with pytest.raises(OSError, match="Invalid argument"):
                table.find(table.root, name)
        for path in (b"..", b"../secret", b"link/secret", b"/etc/passwd", b"link/", b"link/../secret"):
            with pytest.raises(OSError, match=r"Invalid argument|Too many|Not a directory"):
                os.close(table.tree.open_path(path))
        assert len(table) == 0
        inode, _ = table.find(table.root, b"link")
        assert stat.S_ISLNK(inode.kind)
        with pytest.raises(NotADirectoryError):
            table.find(inode, b"secret")
        table.close()
    finally:
        os.close(directory)


@rig
@pytest.mark.parametrize(
    "name", ["", "..", "../secret", "/etc/passwd", "a\0b", "link", "missing", "\ud800", 7, None, ["a"]]
)
def test_a_map_over_the_control_socket_leads_nowhere_else_either(store: Store, name: object) -> None:
    (store.directory.parent / "secret").write_bytes(b"s")
    store.host("link").symlink_to("../secret")
    store.host("a").write_bytes(b"x")

    async def ask() -> None:
        client = StoreClient(store.control)
        with pytest.raises(ControlError) as raised:
            [item async for item in client.control.stream("map", file=name)]
        assert raised.value.errno in (errno.EINVAL, errno.ENOENT)

    trio.run(ask)
    assert store.errors.read_bytes() == b""  # no bug was logged


@rig
def test_a_link_put_in_the_place_of_a_file_is_not_followed(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * BLOCK)
    store.file("a").write_bytes(b"a" * BLOCK)
    with store.file("a").open("r+b", buffering=0) as file:
        store.host("a").unlink()
        store.host("a").symlink_to(secret)
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        os.pwrite(file.fileno(), b"b", 0)
        os.ftruncate(file.fileno(), 7)
        assert store.file("a").readlink() == secret  # the caller's to follow
    assert secret.read_bytes() == b"s" * BLOCK
