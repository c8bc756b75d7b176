"""The databases of a containerd are found below its root, or the missing ones are named with the reason."""

import shutil
import tempfile
import time
from pathlib import Path

import pytest

from tests.nobody import as_nobody, python_of_nobody
from tests.node.containerd.bolt_writer import BoltTree, BoltWriter, write_bolt
from tests.node.containerd.recorded_databases import unpacked
from thinsim.errors import InvalidValueError
from thinsim.node.containerd import databases
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.databases import find_databases, read_databases
from thinsim.node.containerd.errors import ChangingDatabaseError

DEVMAPPER = "io.containerd.snapshotter.v1.devmapper"
METADATA = "io.containerd.metadata.v1.bolt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for directory in (DEVMAPPER, METADATA):
        (tmp_path / directory).mkdir()
    unpacked("2.1", "meta.db", tmp_path / METADATA)
    unpacked("2.1", "metadata.db", tmp_path / DEVMAPPER)
    unpacked("2.1", "pool.db", tmp_path / DEVMAPPER)
    return tmp_path


def test_the_databases_and_the_only_pool_are_found(root: Path) -> None:
    found = find_databases(root)
    assert found.metadata == root / METADATA / "meta.db"
    assert (found.snapshots, found.pool) == (root / DEVMAPPER / "metadata.db", root / DEVMAPPER / "pool.db")
    assert found.pool_name == "pool"
    records = read_databases(found)
    assert len(records.snapshots) == len(records.pool.devices) == 11
    assert set(records.metadata.namespaces) == {"default", "other"}
    assert records.passed_over == ()


def test_a_root_path_elsewhere_is_used(root: Path) -> None:
    elsewhere = (root / DEVMAPPER).rename(root / "elsewhere")
    assert find_databases(root, devmapper_root=elsewhere).pool == elsewhere / "pool.db"


def test_one_of_several_pools_must_be_named(root: Path) -> None:
    write_bolt(root / DEVMAPPER / "another.db")
    with pytest.raises(InvalidValueError, match=r"has the databases of 2 pools, so name one: another, pool$"):
        find_databases(root)
    assert find_databases(root, pool="another").pool_name == "another"


def refusal(root: Path, pool: str | None = None) -> str:
    with pytest.raises(InvalidValueError) as caught:
        find_databases(root, pool=pool)
    return str(caught.value)


def test_each_missing_file_is_named_with_the_reason(root: Path) -> None:
    assert refusal(root / "no") == (
        f"{root}/no does not exist; name containerd's root directory, root in its configuration"
    )
    assert refusal(root, "gone") == (f"{root}/{DEVMAPPER}/gone.db does not exist: the pools there are pool")
    (root / DEVMAPPER / "metadata.db").unlink()
    assert refusal(root) == (
        f"{root}/{DEVMAPPER}/metadata.db does not exist: the devmapper snapshotter has no snapshot yet"
    )
    (root / DEVMAPPER / "pool.db").unlink()
    assert refusal(root).endswith(f"; {root}/{DEVMAPPER}/POOL.db does not exist: no pool has been used there")
    (root / METADATA / "meta.db").unlink()
    assert refusal(root).startswith(
        f"{root}/{METADATA}/meta.db does not exist: {root} is not the root directory of a containerd; "
    )
    (root / DEVMAPPER).rmdir()
    assert refusal(root).endswith(
        f"; {root}/{DEVMAPPER} does not exist: the devmapper snapshotter has never run, or its configuration "
        "has another root_path"
    )


AS_NOBODY = """
import sys
from pathlib import Path
from thinsim.errors import EnvironmentLacksError
from thinsim.node.containerd.databases import DatabaseFiles, find_databases, read_databases

root, meta = map(Path, sys.argv[1:])
for read in (lambda: find_databases(root), lambda: read_databases(DatabaseFiles(meta, meta, meta, "pool"))):
    try:
        read()
    except EnvironmentLacksError as error:
        print(error)
"""


@pytest.mark.root("to become a user without rights")
def test_the_place_that_a_user_may_not_read_is_named(tmp_path: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="thinsim-containerd-"))
    try:
        root.chmod(0o711)
        (root / METADATA).mkdir(mode=0o700)
        meta = unpacked("2.1", "meta.db", root)
        meta.chmod(0o600)
        done = as_nobody([python_of_nobody(), "-c", AS_NOBODY, str(root), str(meta)], None)
    finally:
        shutil.rmtree(root)
    assert done.stdout.splitlines() == [
        f"cannot read {root}/{METADATA}/meta.db: Permission denied (containerd's files need root)",
        f"cannot read {meta}: Permission denied (containerd's files need root)",
    ], done.stderr


def test_a_meta_page_that_was_passed_over_is_reported(root: Path) -> None:
    path = root / DEVMAPPER / "pool.db"
    transaction = read_database(path).transaction
    with path.open("r+b") as file:
        file.seek((transaction - 1) % 2 * 4096 + 60)
        file.write(b"\xff")
    assert read_databases(find_databases(root)).passed_over == (
        f"{path}: page {(transaction - 1) % 2}: the checksum of the meta page is wrong",
    )


class WriterBetween:
    """A `WriterBetween` lets containerd commit to POOL.db whenever meta.db is read, some times."""

    def __init__(self, pool: Path, times: int) -> None:
        self._writer = BoltWriter(pool)
        self._times = times
        self.reads = 0

    def __call__(self, path: Path) -> BoltDatabase:
        found = read_database(path)
        if path.name != "meta.db" and self.reads < self._times * 2:
            self.reads += 1
            devices: BoltTree = {b"devices": {}, b"device_ids": {b"%d" % self.reads: b"\1"}}
            self._writer.commit(devices)
        return found

    def close(self) -> None:
        self._writer.close()


@pytest.mark.parametrize("times", [1, 3])
def test_all_three_are_read_again_if_one_has_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    between = WriterBetween(root / DEVMAPPER / "pool.db", times)
    monkeypatch.setattr(databases, "read_database", between)
    assert set(read_databases(find_databases(root)).pool.thin_ids) == {times * 2}
    between.close()


def test_a_containerd_that_never_rests_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between = WriterBetween(root / DEVMAPPER / "pool.db", 1000)
    monkeypatch.setattr(databases, "read_database", between)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(ChangingDatabaseError, match=f"^{root}: containerd committed"):
        read_databases(find_databases(root))
    between.close()
