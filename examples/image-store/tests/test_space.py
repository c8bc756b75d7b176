"""The image store frees disk space: each test measures it on the host, below a thin pool of its own."""

import pytest
from image_store import ImageStore

MiB = 1 << 20


@pytest.fixture
def store(snapshotter) -> ImageStore:
    store = ImageStore(snapshotter)
    store.pull("app", layers=2, size=6 * MiB)
    return store


@pytest.mark.no_leak
def test_a_stopped_container_frees_its_space(store, snapshotter, backing_store):
    before = backing_store.allocated
    store.start("web", "app")
    snapshotter.write("web", 8 * MiB)
    assert backing_store.allocated >= before + 8 * MiB
    store.stop("web")
    assert backing_store.allocated == before


@pytest.mark.no_leak
def test_containers_that_come_and_go_do_not_make_the_file_grow(store, snapshotter, backing_store):
    before = backing_store.allocated
    for number in range(4):
        store.start(f"job-{number}", "app")
        snapshotter.write(f"job-{number}", 2 * MiB)
        store.stop(f"job-{number}")
    assert backing_store.allocated == before


def test_files_deleted_in_a_running_container_come_back_with_fstrim(store, snapshotter, backing_store):
    store.start("web", "app")
    snapshotter.write("web", 8 * MiB, name="log")
    snapshotter.delete("web", name="log")
    freed = backing_store.freed
    snapshotter.trim("web")
    assert backing_store.freed >= freed + 7 * MiB


def test_pruning_empties_the_pool_and_leaks_only_what_containerd_cannot_discard(
    store, thin_pool, backing_store
):
    assert store.prune() == ["app"]
    assert thin_pool.used == 0
    assert {leak.owner.reason.split(":")[0] for leak in backing_store.leaks()} == {"committed snapshot"}


@pytest.mark.snapshotter(discard_committed=True)
@pytest.mark.no_leak
def test_with_discard_committed_pruning_frees_everything(store, backing_store):
    store.prune()
    assert backing_store.allocated == 0


@pytest.mark.thin_pool(data_size="24MiB", metadata_size="4MiB", features=["error_if_no_space"])
@pytest.mark.snapshotter(base_image_size="64MiB")
def test_a_full_pool_refuses_and_recovers_when_a_container_goes(store, snapshotter, thin_pool):
    store.start("greedy", "app")
    with pytest.raises(Exception, match=r"space|Input/output"):
        snapshotter.write("greedy", 32 * MiB)
    assert thin_pool.status.mode == "out_of_data_space"
    store.stop("greedy")
    assert thin_pool.status.mode == "rw"
