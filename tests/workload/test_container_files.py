"""A container writes exactly the requested bytes, the same in each run, and never outside its root."""

import io
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import removed
from tests.workload.image.tar_building import archive, file, pax
from thinsim.workload.container_files import DIRECTORY, ContainerWrites, write_container_files
from thinsim.workload.image import unpack_layer

SIZE = 5_000_001


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return image_tree(tmp_path / "root")


def image_tree(root: Path) -> Path:
    for number in range(100):
        path = root / f"usr/d{number % 5}/f{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10_000))
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_size_bytes_of_new_files_remain_big_and_small(root: Path) -> None:
    before = contents(root)
    writes = write_container_files(root, SIZE)
    after = contents(root)
    new = {name: data for name, data in after.items() if name not in before}
    assert sum(map(len, new.values())) == SIZE
    assert {Path(name).name.partition("-")[0] for name in new} == {"big", "small"}
    changed = [name for name in before if name in after and after[name] != before[name]]
    gone = [name for name in before if name not in after]
    temporary = writes.created - len(new)
    assert (writes.overwritten, writes.deleted) == (len(changed), len(gone) + temporary)
    assert len(gone) == 12
    assert temporary > 0
    assert all(len(after[name]) == 10_000 for name in changed)
    assert writes.bytes_written > SIZE + SIZE // 8


def test_the_same_seed_writes_the_same_and_another_seed_something_else(tmp_path: Path) -> None:
    roots = [image_tree(tmp_path / name) for name in ("one", "two", "three")]
    one, two, three = (
        write_container_files(at, SIZE, seed=seed) for at, seed in zip(roots, (1, 1, 2), strict=True)
    )
    assert one == two
    assert contents(roots[0]) == contents(roots[1])
    assert contents(roots[0]) != contents(roots[2])
    assert three.bytes_written > SIZE


def test_size_zero_touches_one_empty_file(root: Path) -> None:
    before = contents(root)
    assert write_container_files(root, 0) == ContainerWrites(1, 0, 0, 0)
    assert contents(root) == before | {f"{DIRECTORY}/seed-1/touched": b""}


def test_an_empty_root_can_be_written_to(tmp_path: Path) -> None:
    writes = write_container_files(tmp_path, 100_000)
    assert writes.overwritten == 0
    assert sum(map(len, contents(tmp_path).values())) == 100_000


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    outside = image_tree(tmp_path / "outside")
    before = contents(outside)
    root = tmp_path / "root"
    root.mkdir()
    (root / "directory").symlink_to(outside)
    (root / "file").symlink_to(outside / "usr/d0/f00")
    assert write_container_files(root, SIZE).overwritten == 0
    assert contents(outside) == before
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / DIRECTORY).symlink_to(outside)
    with pytest.raises(OSError, match=r"Not a directory|symbolic link"):
        write_container_files(planted, SIZE)
    assert contents(outside) == before


def test_content_does_not_compress(root: Path) -> None:
    import zlib

    write_container_files(root, SIZE)
    data = next((root / DIRECTORY).rglob("big-*")).read_bytes()
    assert len(zlib.compress(data)) > len(data)


def test_progress_goes_up_to_all_bytes_and_can_end_the_writing(root: Path) -> None:
    seen: list[int] = []
    writes = write_container_files(root, SIZE, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == writes.bytes_written

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_container_files(root, SIZE, progress=stop)


def test_files_of_a_tree_deeper_than_descriptors_and_recursion_go_are_changed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with removed(tmp_path / "root") as root:
        deep = "/".join(["d"] * 1500)
        unpack_layer(
            io.BytesIO(archive([pax((b"path", f"{deep}/f".encode())), file(b"f", bytes(10_000))])), root
        )
        writes = write_container_files(root, SIZE)
        assert writes.overwritten == 1
        assert (root / deep / "f").read_bytes() != bytes(10_000)
