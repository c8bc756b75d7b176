"""The ledger against what the host file system itself says is in use, on every kind that can be made here."""

import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import trio

from fuse_backing import mounts
from fuse_backing.accounting.xfs import free_bytes
from fuse_backing.allocation import mapped_extents
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import DEADLINE, ROOT, Store, host_fallocate, run_command
from tests.host_file_systems import CLONING, KINDS, MIB, HostFileSystem, host_file_system, missing_for
from thinsim.rig.host_file import host_accounting

KEEP, PUNCH, ZERO = 1, 3, 17
BLOCK = 4096
NO_PREALLOCATION = ("overlay on tmpfs",)
NOT_EXACT = (
    "overlay on btrfs",
    "overlay on xfs with an extent size hint",
    "ext4 without extents",
    "ext4 without delayed allocation",
)
"""Refused, or with tests of their own."""
SERVED = [kind for kind in KINDS if kind not in NOT_EXACT]
COPYING = ("btrfs", "btrfs compressed")
"""They write a block elsewhere when a part of it is zeroed."""

MakeStore = Callable[..., Store]
pytestmark = pytest.mark.rig


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostFileSystem]:
    """The file system of the kind that the test is parametrised with."""
    missing = missing_for(request.param)
    if missing is not None:
        pytest.skip(missing)
    with host_file_system(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def fitting_store(host: HostFileSystem, make_store: MakeStore) -> Iterator[Store]:
    """A store on it, which ends before the file system does."""
    store = make_store(directory=host.directory)
    yield store
    store.tear_down()


def on(*kinds: str, of: Iterable[str] = ()) -> pytest.MarkDecorator:
    """On these *kinds*; on the others *of* a list in long runs."""
    others = [pytest.param(kind, marks=pytest.mark.long) for kind in of if kind not in kinds]
    return pytest.mark.parametrize("host", [*kinds, *others], indirect=True)


def ways(**kinds: tuple[str, ...]) -> pytest.MarkDecorator:
    """On all SERVED, with the data served either way; what is not in *kinds* in long runs."""
    every = [(kind, way) for way in kinds for kind in SERVED]
    marks = {pair: [] if pair[0] in kinds[pair[1]] else [pytest.mark.long] for pair in every}
    parameters = [pytest.param(*pair, marks=marks[pair], id="-".join(pair)) for pair in every]
    return pytest.mark.parametrize(("host", "data_served_by"), parameters, indirect=True)


served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)


class Punched:
    """A file on the store; what it frees is compared with what the host has in use less than before."""

    def __init__(self, host: HostFileSystem, store: Store, name: str, map_room: bool = True) -> None:
        self._host, self._store = host, store
        self.fd = os.open(store.file(name), os.O_RDWR | os.O_CREAT, 0o600)
        self.host_file = store.host(name)
        if map_room:  # so that the host needs no further blocks for the file's map itself
            for number in range(40):
                os.pwrite(self.fd, b"r" * BLOCK, 256 * MIB + 2 * number * MIB)
            os.fsync(self.fd)

    def write(self, offset: int, data: bytes) -> None:
        assert os.pwrite(self.fd, data, offset) == len(data)

    def punch(self, offset: int, length: int) -> None:
        assert host_fallocate(self.fd, PUNCH, offset, length) == 0

    def freed_by(self, act: Callable[[], object], grown: int = 0) -> int:
        """Do *act*, which makes the host allocate *grown* bytes; return what the ledger says was freed."""
        used, freed = self._host.used(), self._store.totals().freed
        act()
        freed = self._store.totals().freed - freed
        assert freed == used - self._host.used() + grown
        return freed


@pytest.fixture
def punched(host: HostFileSystem, fitting_store: Store) -> Iterator[Callable[..., Punched]]:
    made: list[Punched] = []

    def make(name: str, *, map_room: bool = True) -> Punched:
        made.append(Punched(host, fitting_store, name, map_room))
        return made[-1]

    yield make
    for each in made:
        os.close(each.fd)


def make_clone(host: HostFileSystem, file: Path) -> None:
    """Have another file share all that *file* has."""
    with (host.directory / "clone").open("wb") as clone, file.open("rb") as source:
        fcntl.ioctl(clone, 0x40049409, source.fileno())  # FICLONE
        os.fsync(clone.fileno())


def each(start: int, end: int, step: int, length: int) -> list[tuple[int, int]]:
    return [(offset, length) for offset in range(start, end, step)]


@ways(
    server=(
        "ext4 with blocks of 1 KiB",
        "ext4 with clusters of 64 KiB",
        "xfs with reflink",
        "btrfs compressed",
        "tmpfs with huge pages",
        "overlay on ext4",
    ),
    kernel=("ext4", "btrfs"),
)
def test_the_ledger_says_what_the_host_says(host: HostFileSystem, punched: Callable[..., Punched]) -> None:
    file = punched("file")

    def punch_all(*ranges: tuple[int, int]) -> Callable[[], None]:
        def act() -> None:
            for offset, length in ranges:
                file.punch(offset, length)

        return act

    # One write, every second MiB, then every second block of one MiB; then all the rest.
    file.write(0, os.urandom(16 * MIB))
    os.fsync(file.fd)
    file.freed_by(punch_all(*each(MIB, 16 * MIB, 2 * MIB, MIB)))
    file.freed_by(punch_all(*each(2 * MIB, 2 * MIB + 32 * BLOCK, 2 * BLOCK, BLOCK)))
    file.freed_by(punch_all(*each(0, 16 * MIB, 2 * MIB, MIB)))
    # What is zero to a compressor, and a hole that ends within blocks.
    file.write(32 * MIB, b"abcdefgh" * (4 * MIB // 8))
    os.fsync(file.fd)
    cut = 2 * BLOCK if host.kind in COPYING else 0
    file.freed_by(punch_all((32 * MIB + 1000, 2 * MIB)), grown=cut)
    file.freed_by(punch_all((32 * MIB, 4 * MIB)))
    # Overwritten in part: btrfs keeps the old extent for what is left of it.
    file.write(48 * MIB, os.urandom(8 * MIB))
    os.fsync(file.fd)
    for offset in range(48, 56, 2):
        file.write(offset * MIB, os.urandom(MIB))
    os.fsync(file.fd)
    file.freed_by(punch_all((48 * MIB, 4 * MIB)))
    file.freed_by(punch_all((52 * MIB, 4 * MIB)))
    # Not written back when it is punched: what the host would have allocated counts as given back.
    before = host.used()

    def write_and_punch() -> None:
        file.write(64 * MIB, os.urandom(4 * MIB))
        file.punch(64 * MIB, 4 * MIB)

    assert file.freed_by(write_and_punch, grown=4 * MIB) == 4 * MIB
    assert host.used() == before


@on("ext4 with clusters of 64 KiB", "btrfs compressed", "overlay on tmpfs", of=SERVED)
@served_by_server
def test_preallocated_space_is_freed_by_a_punch_or_not_to_be_had(
    host: HostFileSystem, punched: Callable[..., Punched]
) -> None:
    file = punched("file")
    refused = host_fallocate(file.fd, 0, 0, 8 * MIB)
    if host.kind in NO_PREALLOCATION:
        assert os.strerror(refused) == "Operation not supported"
        return
    assert refused == 0
    file.write(3 * MIB, os.urandom(MIB))
    os.fsync(file.fd)
    file.freed_by(lambda: file.punch(2 * MIB, 3 * MIB))
    file.freed_by(lambda: file.punch(0, 8 * MIB))


@on("ext4 with clusters of 64 KiB", "btrfs", "tmpfs with huge pages", of=SERVED)
@served_by_server
def test_a_truncation_is_in_the_ledger_with_what_it_freed(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB + 100))
    os.fsync(file.fd)
    freed = file.freed_by(lambda: os.ftruncate(file.fd, MIB + 5))
    freed += file.freed_by(lambda: os.truncate(fitting_store.file("file"), 0))
    first, last = fitting_store.events()[-2:]
    assert (first.operation, first.file, first.offset) == ("truncate", "file", MIB + 5)
    assert first.length >= 3 * MIB
    assert last.operation == "truncate"
    assert first.freed + last.freed == freed >= 4 * MIB
    file.write(0, os.urandom(2 * MIB))
    os.fsync(file.fd)
    assert file.freed_by(lambda: fitting_store.file("file").write_bytes(b"")) >= 2 * MIB
    assert os.fstat(file.fd).st_size == fitting_store.file("file").stat().st_size == 0
    assert fitting_store.by_offset_sum("file") == freed + fitting_store.events()[-1].freed


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
def test_a_punch_of_what_another_file_has_too_frees_nothing(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)
    make_clone(host, file.host_file)
    assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
    (host.directory / "clone").unlink()


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
def test_what_was_written_over_a_clone_and_not_written_back_is_the_files_own(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)
    make_clone(host, file.host_file)

    def write_and_punch() -> None:
        file.write(MIB, os.urandom(MIB))
        file.punch(0, 4 * MIB)

    assert file.freed_by(write_and_punch, grown=MIB) == MIB


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
@pytest.mark.parametrize("at_once", [True, False], ids=["one punch", "two punches"])
def test_what_two_places_of_one_file_share_is_freed_with_the_last(
    punched: Callable[..., Punched], at_once: bool
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB))
    os.fsync(file.fd)
    with file.host_file.open("r+b") as host_file:
        place = struct.pack("qQQQ", host_file.fileno(), 0, 4 * MIB, 4 * MIB)
        fcntl.ioctl(host_file, 0x4020940D, place)  # FICLONERANGE
        os.fsync(host_file.fileno())
    if at_once:
        assert file.freed_by(lambda: file.punch(0, 8 * MIB)) == 4 * MIB
    else:
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
        assert file.freed_by(lambda: file.punch(4 * MIB, 4 * MIB)) == 4 * MIB


@on("btrfs compressed", of=("btrfs", "btrfs nodatacow"))
@served_by_server
def test_a_punch_of_what_a_snapshot_has_too_frees_nothing(
    host: HostFileSystem, make_store: MakeStore
) -> None:
    volume = host.root / "volume"
    subprocess.run(["btrfs", "-q", "subvolume", "create", volume], check=True, timeout=DEADLINE)
    store = make_store(directory=volume)
    file = Punched(host, store, "file", map_room=False)
    try:
        file.write(0, os.urandom(8 * MIB))
        os.fsync(file.fd)
        snapshot = ["btrfs", "-q", "subvolume", "snapshot", volume, host.root / "snapshot"]
        subprocess.run(snapshot, check=True, timeout=DEADLINE)
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
        file.write(0, os.urandom(MIB))
        os.fsync(file.fd)
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == MIB
    finally:
        os.close(file.fd)
        store.tear_down()


@on("btrfs")
def test_btrfs_frees_nothing_of_an_extent_of_which_every_second_mib_is_left(
    punched: Callable[..., Punched],
) -> None:
    file = punched("file", map_room=False)
    assert host_fallocate(file.fd, 0, 0, 128 * MIB) == 0  # in one extent
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)

    def punch_every(first: int) -> None:
        for offset, length in each(first * MIB, 128 * MIB, 2 * MIB, MIB):
            file.punch(offset, length)

    assert file.freed_by(lambda: punch_every(1)) == 0
    assert file.freed_by(lambda: punch_every(0)) == 128 * MIB


@on("btrfs compressed")
def test_btrfs_frees_what_compressed_data_took_on_disk(punched: Callable[..., Punched]) -> None:
    file = punched("file", map_room=False)
    file.write(0, b"abcdefgh" * (128 * MIB // 8))
    os.fsync(file.fd)

    def punch_every() -> None:
        for offset, length in each(MIB, 128 * MIB, 2 * MIB, MIB):
            file.punch(offset, length)

    # Each 128 KiB are compressed to one block.
    assert file.freed_by(punch_every) == 64 * 8 * BLOCK


@on("ext4 with clusters of 64 KiB", of=("overlay on ext4 with clusters",))
def test_ext4_with_clusters_frees_nothing_of_a_cluster_of_which_a_block_is_left(
    punched: Callable[..., Punched],
) -> None:
    file = punched("file")
    file.write(0, os.urandom(MIB))
    os.fsync(file.fd)

    def punch_every() -> None:
        for offset, length in each(BLOCK, MIB, 2 * BLOCK, BLOCK):
            file.punch(offset, length)

    assert file.freed_by(punch_every) == 0
    assert file.freed_by(lambda: file.punch(0, 65536)) == 65536
    assert file.freed_by(lambda: file.punch(65536, MIB - 65536)) == MIB - 65536


@on("xfs with reflink")
def test_xfs_is_asked_for_free_space_however_many_pieces_it_is_in(host: HostFileSystem) -> None:
    with (host.directory / "file").open("w+b", buffering=0) as file:
        file.write(os.urandom(4 * MIB))
        os.fsync(file)
        [extent] = mapped_extents(file.fileno(), 0, 4 * MIB)
        place = extent.physical, extent.physical + 4 * MIB
        assert free_bytes(file.fileno(), *place) == 0
        for offset in range(0, 4 * MIB, 2 * BLOCK):
            assert host_fallocate(file.fileno(), PUNCH, offset, BLOCK) == 0
        # XFS may have taken some of the pieces for the map of the file.
        tree = os.fstat(file.fileno()).st_blocks * 512 - 2 * MIB
        assert 2 * MIB - tree <= free_bytes(file.fileno(), *place) <= 2 * MIB
        assert free_bytes(file.fileno(), place[0] + BLOCK, place[0] + 2 * BLOCK) == 0


@on("overlay on btrfs")
@served_by_server
def test_a_host_that_hides_what_it_frees_is_refused_unless_told_otherwise(
    host: HostFileSystem, tmp_path: Path, make_store: MakeStore
) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    result = run_command("mount", host.directory, place, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {host.directory}: overlayfs hides how the file system below it, btrfs by its looks, frees "
        "extents; use a directory on that file system itself, or --allow-estimate\n"
    )
    assert mounts.mount_on(place) is None
    store = make_store("--allow-estimate", directory=host.directory)
    try:
        info = trio.run(StoreClient(store.control).ping)
        assert (info.host, info.freed_is_measured) == ("overlayfs", False)
        assert "freed bytes are an estimate" in info.host_remark
        store.file("file").write_bytes(b"x" * 2 * MIB)
        with store.file("file").open("r+b") as file:
            assert host_fallocate(file.fileno(), PUNCH, 0, MIB) == 0
        assert store.totals().freed == MIB
        assert 'freed="estimated"' in run_command("metrics", "--control", store.control).stdout
        stats = run_command("stats", "--control", store.control).stdout
        assert "freed bytes are an estimate" in stats
        as_json = run_command("stats", "--control", store.control, "--json").stdout
        assert json.loads(as_json)["freed_is_measured"] is False
    finally:
        store.tear_down()


@on("ext4 without extents")
@served_by_server
def test_ext4_without_extents_is_measured_like_any_ext4(punched: Callable[..., Punched]) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB))
    os.fsync(file.fd)
    # One block of the file's map has its blocks from 12 to 1035.
    assert file.freed_by(lambda: file.punch(MIB, MIB)) == MIB
    assert file.freed_by(lambda: file.punch(3 * MIB + 1, 2 * BLOCK)) == BLOCK
    assert os.strerror(host_fallocate(file.fd, 0, 8 * MIB, MIB)) == "Operation not supported"


@on("overlay on xfs with an extent size hint")
@served_by_server
def test_an_overlay_on_what_allocates_more_than_a_write_says_so(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    info = trio.run(StoreClient(fitting_store.control).ping)
    assert (info.host, info.host_unit) == ("overlayfs", MIB)
    assert "allocates 1048576 bytes at once" in info.host_remark
    found = host_accounting(host.directory)
    assert (found.maps_what_it_holds, found.freed_unit) == (False, BLOCK)
    file = punched("file")
    file.write(0, b"x" * BLOCK)
    os.fsync(file.fd)
    assert file.freed_by(lambda: file.punch(0, MIB)) == MIB


@on("ext4 with blocks of 1 KiB", "ext4 without delayed allocation", "xfs")
@served_by_server
def test_a_host_with_free_space_in_small_pieces_is_served_and_a_full_one_told(
    host: HostFileSystem, tmp_path: Path, make_store: MakeStore
) -> None:
    block = os.statvfs(host.directory).f_frsize
    with (host.directory / "filler").open("wb") as filler:
        end, step = 0, 512 * MIB
        while step >= block:
            if host_fallocate(filler.fileno(), 0, end, step):
                step //= 2
            else:
                end += step
        (tmp_path / "full").mkdir()
        result = run_command("mount", host.directory, tmp_path / "full", check=False)
        assert result.returncode == 1
        assert result.stderr.startswith(f"Error: {host.directory}: ")
        why = "No space left on device; it needs room for a file of 1 MiB: free some\n"
        assert result.stderr.endswith(why)
        for offset in range(0, 32 * MIB, 2 * block):
            assert host_fallocate(filler.fileno(), PUNCH, offset, block) == 0
        os.fsync(filler.fileno())
    store = make_store(directory=host.directory)
    try:
        file = store.file("file")
        file.write_bytes(os.urandom(MIB))
        with file.open("r+b") as opened:
            os.fsync(opened.fileno())
            assert host_fallocate(opened.fileno(), PUNCH, 0, MIB // 2) == 0
        assert store.totals().freed == MIB // 2
    finally:
        store.tear_down()


@on("ext4")
def test_a_directory_that_refuses_even_root_is_told_with_its_way_out(
    host: HostFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "mnt").mkdir()
    subprocess.run(["chattr", "+i", host.directory], check=True, timeout=DEADLINE)
    result = run_command("mount", host.directory, tmp_path / "mnt", check=False)
    subprocess.run(["chattr", "-i", host.directory], check=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {host.directory}: cannot create a file there: Operation not permitted; the attribute i "
        "refuses even root (see it with lsattr -d): chattr -i\n"
    )


@on("ext4", "xfs")
@served_by_server
def test_what_fails_on_a_host_that_died_is_in_the_ledger(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(MIB))
    os.fsync(file.fd)
    subprocess.run(["xfs_io", "-x", "-c", "shutdown", host.root], check=True, timeout=DEADLINE)
    assert os.strerror(host_fallocate(file.fd, PUNCH, 0, MIB // 2)) == "Input/output error"
    assert os.strerror(host_fallocate(file.fd, ZERO | KEEP, 0, MIB // 2)) == "Input/output error"
    failed = [(event.operation, event.freed, event.errno) for event in fitting_store.events()]
    assert failed == [("punch", 0, 5), ("zero", 0, 5)]


@on("btrfs")
@served_by_server
def test_a_store_on_a_store_on_btrfs_is_refused(fitting_store: Store, tmp_path: Path) -> None:
    place = tmp_path / "on-it"
    place.mkdir()
    result = run_command("mount", fitting_store.mountpoint, place, check=False)
    assert result.returncode == 1
    assert "fuse hides how the file system below it, btrfs by its looks, frees extents" in result.stderr
    assert mounts.mount_on(place) is None


@on("btrfs")
def test_btrfs_without_the_right_to_look_at_its_extents_is_refused(host: HostFileSystem) -> None:
    code = (
        "import os, sys; from pathlib import Path; from fuse_backing import directory\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "try: print(directory.host_accounting(fd, Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    drop = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", code, host.directory],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=DEADLINE,
    )
    assert done.stdout == (
        f"UnfitDirectoryError {host.directory}: btrfs frees whole extents, and asking it for them needs "
        "CAP_SYS_ADMIN; run as root, or use a directory on ext4, xfs or tmpfs, or --allow-estimate\n"
    )


@on("ext4", "btrfs", "ext4 with clusters of 64 KiB", "tmpfs with huge pages")
def test_mount_and_ping_say_how_the_host_accounts(host: HostFileSystem, tmp_path: Path) -> None:
    place, control = tmp_path / "mnt", tmp_path / "control"
    place.mkdir()
    said = run_command("mount", host.directory, place, "--control", control).stdout.splitlines()
    try:
        info = trio.run(StoreClient(control).ping)
        words = {
            "ext4": "",
            "btrfs": "btrfs frees a data extent (up to 128 MiB) as a whole",
            "ext4 with clusters of 64 KiB": "ext4 allocates and frees clusters of 65536 bytes",
            "tmpfs with huge pages": "tmpfs allocates huge pages of 2097152 bytes",
        }[host.kind]
        assert info.freed_is_measured
        assert info.host_remark.startswith(words)
        assert bool(info.host_remark) == bool(words)
        assert said[1:] == ([f"{place}: {info.host_remark}"] if words else [])
    finally:
        run_command("unmount", place, "--control", control)
