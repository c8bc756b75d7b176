"""The plugin's socket is tested: its mode, the files that it may replace, and its removal."""

import os
import socket

import pytest
import trio

from fuse_backing.errors import ControlError
from tests.snapshotter.proxy.snapshots_client import SnapshotsClient, short_directory
from tests.snapshotter.tapped_snapshotters import TappedSnapshotters
from thinsim.errors import InvalidValueError
from thinsim.snapshotter.proxy.server import serving


async def test_only_the_owner_can_connect_whatever_the_umask(tapped: TappedSnapshotters) -> None:
    core = await tapped.open()
    mask = os.umask(0)
    try:
        with short_directory() as directory:
            async with serving(core, directory / "socket"):
                assert (directory / "socket").stat().st_mode & 0o777 == 0o600
                assert [path.name for path in directory.iterdir()] == ["socket"]
            assert list(directory.iterdir()) == []
        assert os.umask(0) == 0
    finally:
        os.umask(mask)


async def test_the_socket_of_a_dead_server_is_replaced(tapped: TappedSnapshotters) -> None:
    core = await tapped.open()
    with short_directory() as directory:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory / "socket"))
        async with serving(core, directory / "socket"):
            with SnapshotsClient(directory / "socket") as client:
                assert await trio.to_thread.run_sync(client.walk) == []


async def test_a_live_server_keeps_its_socket(tapped: TappedSnapshotters) -> None:
    core = await tapped.open()
    with short_directory() as directory:
        async with serving(core, directory / "socket"):
            with pytest.raises(ControlError, match="another server answers on this socket"):
                async with serving(core, directory / "socket"):
                    pytest.fail("two servers on one socket")
            with SnapshotsClient(directory / "socket") as client:
                assert await trio.to_thread.run_sync(client.walk) == []


async def test_a_file_in_the_way_stays_as_it_is(tapped: TappedSnapshotters) -> None:
    core = await tapped.open()
    with short_directory() as directory:
        (directory / "socket").write_text("precious")
        with pytest.raises(ControlError, match="is not a socket"):
            async with serving(core, directory / "socket"):
                pytest.fail("served in place of a file")
        assert (directory / "socket").read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "complaint"), [("missing/socket", "missing is not a directory"), ("s" * 100, "too long")]
)
async def test_an_impossible_place_of_a_socket_is_named(
    tapped: TappedSnapshotters, path: str, complaint: str
) -> None:
    core = await tapped.open()
    with short_directory() as directory:
        with pytest.raises((ControlError, InvalidValueError), match=complaint):
            async with serving(core, directory / path):
                pytest.fail("served where nothing can be")
        assert list(directory.iterdir()) == []


async def test_a_socket_that_another_server_has_created_meanwhile_is_not_removed(
    tapped: TappedSnapshotters,
) -> None:
    core = await tapped.open()
    with short_directory() as directory:
        async with serving(core, directory / "socket"):
            (directory / "socket").unlink()
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(directory / "socket"))
        assert (directory / "socket").is_socket()
