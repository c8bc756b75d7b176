"""The databases of a running containerd are read beside it, at any moment, as ctr prints them."""

import fcntl
import os
import time
from pathlib import Path

import pytest
import trio

from tests.node.containerd.comparing_with_ctr import (
    comparable,
    needs_of_the_scene,
    parents_in_tree,
    seen_by_ctr,
)
from tests.node.containerd.scene import (
    MISSING,
    LeaseCalls,
    database_paths,
    populate,
    printed,
    running,
)
from tests.scenario.containerd.builds_here import BUILDS
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.databases import (
    ContainerdRecords,
    DatabaseFiles,
    find_databases,
    read_databases,
)
from thinsim.node.containerd.namespace_records import metadata_of
from thinsim.node.containerd.pool_records import ThinIdUse
from thinsim.node.containerd.references import references
from thinsim.scenario.containerd.server import Containerd

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc dmsetup)"
    ),
]


def contradictions(records: ContainerdRecords) -> list[str]:
    """Return what cannot be true of one transaction of each database."""
    found = []
    for namespace in records.metadata.namespaces.values():
        for keys in namespace.snapshots.values():
            for each in keys.values():
                if each.parent and each.key not in keys[each.parent].children:
                    found.append(f"{each.key} is no child of {each.parent}")
                found += [f"{child} is no snapshot" for child in each.children if child not in keys]
    for snapshot in records.snapshots.values():
        if snapshot.parent and snapshot.parent not in records.snapshots:
            found.append(f"{snapshot.parent} is no snapshot")
    thin_ids = [device.thin_id for device in records.pool.devices.values()]
    if len(set(thin_ids)) != len(thin_ids):
        found.append(f"thin ids {thin_ids}")
    for thin_id in thin_ids:
        if records.pool.thin_ids[thin_id] is not ThinIdUse.TAKEN:
            found.append(f"thin id {thin_id} is not taken")
    return found


class ReaderBeside:
    """A `ReaderBeside` reads again and again in a thread, until it is stopped."""

    def __init__(self, files: DatabaseFiles) -> None:
        self._files = files
        self._stopped = False
        self.sizes: list[int] = []
        self.found: list[str] = []

    async def run(self) -> None:
        await trio.to_thread.run_sync(self._read)

    def stop(self) -> None:
        self._stopped = True

    def _read(self) -> None:
        while not self._stopped:
            if all(path.exists() for path in (self._files.metadata, self._files.snapshots, self._files.pool)):
                records = read_databases(self._files)
                self.sizes.append(len(records.snapshots))
                self.found += contradictions(records)
            time.sleep(0.01)


@pytest.mark.parametrize("build", BUILDS)
async def test_a_running_containerd_is_read_as_ctr_prints_it(tmp_path: Path, build: Path | None) -> None:
    async with running(tmp_path, build) as (containerd, root_path, pool):
        paths = database_paths(tmp_path, root_path, pool)
        files = DatabaseFiles(paths["meta.db"], paths["metadata.db"], paths["pool.db"], pool)
        reader = ReaderBeside(files)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.run)
            await populate(containerd, tmp_path)
            reader.stop()
        assert reader.found == []
        assert reader.sizes == sorted(reader.sizes)
        assert len(set(reader.sizes)) > 3

        assert find_databases(tmp_path / "containerd/root", devmapper_root=root_path) == files
        for path in paths.values():
            with path.open("rb") as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        before = {path: path.stat().st_mtime_ns for path in paths.values()}
        records = read_databases(files)
        answers = await printed(containerd)
        assert seen_by_ctr(records) == comparable(answers)
        for name, namespace in records.metadata.namespaces.items():
            parents = {key: each.parent for key, each in namespace.snapshots["devmapper"].items()}
            assert parents_in_tree(answers[name]["tree"]) == parents
        assert needs_of_the_scene(references(records.metadata, records.snapshots)) == {}
        assert {path: path.stat().st_mtime_ns for path in paths.values()} == before


class CommittingClient:
    """A `CommittingClient` creates and deletes leases, a transaction of meta.db each, until it is stopped."""

    KEPT = 5

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd
        self._stopped = False
        self.created = 0

    async def run(self) -> None:
        await trio.to_thread.run_sync(self._commit)

    def stop(self) -> None:
        self._stopped = True

    def _commit(self) -> None:
        with LeaseCalls(self._containerd) as calls:
            while not self._stopped:
                self.created += 1
                calls.create(f"lease-{self.created}")
                if self.created > self.KEPT:
                    calls.delete(f"lease-{self.created - self.KEPT}")


def read_slowly(path: Path, seconds: float) -> list[BoltDatabase]:
    """Read *path* page by page, so that most reads meet a commit."""

    def pread(fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, min(size, 4096), offset)

    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(read_database(path, pread))
    return found


async def test_each_read_shows_one_transaction_of_a_containerd_that_never_rests(tmp_path: Path) -> None:
    async with running(tmp_path) as (containerd, root_path, pool):
        path = database_paths(tmp_path, root_path, pool)["meta.db"]
        client = CommittingClient(containerd)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            found = await trio.to_thread.run_sync(read_slowly, path, 3.0)
            client.stop()
    transactions = [each.transaction for each in found]
    assert transactions == sorted(transactions)
    assert len(set(transactions)) > 20
    for each in found:
        assert each.passed_over == ""
        namespaces = metadata_of(each).namespaces
        leases = namespaces["default"].leases if namespaces else {}
        numbers = sorted(int(lease.removeprefix("lease-")) for lease in leases)
        assert len(numbers) <= CommittingClient.KEPT + 1
        assert numbers == list(range(min(numbers, default=0), max(numbers, default=-1) + 1))
