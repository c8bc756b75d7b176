"""No request leaves a store's directory while the host exchanges and moves its directories meanwhile."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from fuse_backing.errors import ControlError
from fuse_backing.store_client import StoreClient
from fuse_backing.system_calls import renameat2
from tests.fuse_backing.backing_store import DEADLINE, Store, names_in

pytestmark = pytest.mark.rig

ROUNDS = 600
EXCHANGE = 2
INSIDE, SECRET = b"inside", b"secret of another size"
GONE = {errno.ENOENT, errno.ESTALE, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.EXDEV}
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


class Exchanger(threading.Thread):
    """An `Exchanger` exchanges two entries of the host, over and over, until it is stopped."""

    def __init__(self, one: Path, other: Path) -> None:
        super().__init__()
        self._paths = os.fsencode(one), os.fsencode(other)
        self.stopping = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            renameat2(-100, self._paths[0], -100, self._paths[1], EXCHANGE)
            self.count += 1


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[Exchanger]:
    thread = Exchanger(one, other)
    thread.start()
    try:
        yield thread
    finally:
        thread.stopping.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()
    assert thread.count > 100


def outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except ControlError as error:
        return error.errno
    except OSError as error:
        return error.errno


@pytest.fixture
def deep_store(make_store: Callable[..., Store], tmp_path: Path) -> Store:
    """Return a store whose directory is deeper than its mountpoint.

    A relative link out of the tree leads to the secret for the server, and nowhere for a user of the mount.
    """
    served = tmp_path / "a" / "b" / "c" / "served"
    served.mkdir(parents=True)
    outside = served.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    (served / "d").mkdir()
    (served / "d" / "file").write_bytes(INSIDE)
    return make_store(directory=served)


@without_uring
def test_a_directory_that_becomes_a_link_out_of_the_tree_leads_nowhere(deep_store: Store) -> None:
    store = deep_store
    store.host("link").symlink_to("../outside")
    assert (store.host("link") / "file").read_bytes() == SECRET
    contents: set[object] = set()
    sizes: set[object] = set()
    names: set[object] = set()
    with exchanging(store.host("d"), store.host("link")):
        for _ in range(ROUNDS):
            contents.add(outcome(store.file("d/file").read_bytes))
            sizes.add(outcome(lambda: store.file("d/file").stat().st_size))
            names.add(outcome(lambda: tuple(names_in(store.file("d")))))
    assert contents <= {INSIDE, *GONE}
    assert sizes <= {len(INSIDE), *GONE}
    assert names <= {("file",), *GONE}
    assert INSIDE in contents
    assert contents & GONE
    assert store.errors.read_bytes() == b""


@without_uring
def test_a_map_of_a_path_that_becomes_a_link_leads_nowhere(deep_store: Store) -> None:
    store = deep_store
    store.host("link").symlink_to("../outside")

    async def sizes() -> set[object]:
        client, found = StoreClient(store.control), set()
        for _ in range(ROUNDS // 5):
            try:
                found.add((await client.map("d/file"))[0])
            except ControlError as error:
                found.add(error.errno)
        return found

    with exchanging(store.host("d"), store.host("link")):
        found = trio.run(sizes)
    assert found <= {len(INSIDE), *GONE}
    assert len(INSIDE) in found


@without_uring
def test_a_directory_that_is_moved_out_while_it_is_walked_shows_only_its_own_files(
    deep_store: Store,
) -> None:
    """Its users keep what they have open; nothing beside it can be reached, and it has no way back up."""
    store = deep_store
    away = store.directory.parent / "away"
    away.mkdir()
    (away / "beside").write_bytes(SECRET)
    place = os.open(store.file("d"), os.O_RDONLY)
    found: set[object] = set()
    above: set[object] = set()
    try:
        with exchanging(store.host("d"), away):
            for _ in range(ROUNDS):
                for name in ("file", "beside", "../outside/file", "../beside"):
                    found.add(outcome(lambda name=name: content(name, place)))  # type: ignore[misc]
                above.add(outcome(lambda: tuple(names_in(store.mountpoint))))
    finally:
        os.close(place)
    # A file that is below d on the host at a moment is in the tree, and may be read by its path.
    assert found <= {INSIDE, *GONE}
    assert above <= {("d",)}
    assert sorted(names_in(away) + names_in(store.host("d"))) == ["beside", "file"]


def content(name: str, place: int) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=place)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)
