"""containerd's SnapshotterSuite runs on every rig, as far as it needs no file content.

Sources: ``core/snapshots/testsuite/testsuite.go``. The names are its names.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.snapshotter.tapped_snapshotters import committed
from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from thinsim.snapshotter.interface import Info, Kind, Snapshotter
from thinsim.snapshotter.mounting import FS_TYPE_LABEL

ROOT = {"containerd.io/gc.root": "now"}


async def walked(snapshotter: Snapshotter) -> dict[str, Info]:
    return {info.name: info async for info in snapshotter.walk()}


async def test_basic(snapshotter: Snapshotter) -> None:
    assert len(await snapshotter.prepare("preparing", "", ROOT)) == 1
    await snapshotter.commit("committed", "preparing", ROOT)
    base = await snapshotter.stat("committed")
    assert (base.parent, base.kind) == ("", Kind.COMMITTED)
    with pytest.raises(NotFoundError):
        await snapshotter.stat("preparing")

    await snapshotter.prepare("next", "committed", ROOT)
    active = await snapshotter.stat("next")
    assert (active.parent, active.kind) == ("committed", Kind.ACTIVE)
    await snapshotter.commit("committed-next", "next", ROOT)
    layer = await snapshotter.stat("committed-next")
    assert (layer.parent, layer.kind) == ("committed", Kind.COMMITTED)
    with pytest.raises(NotFoundError):
        await snapshotter.stat("next")
    assert await walked(snapshotter) == {"committed": base, "committed-next": layer}

    await snapshotter.view("view", "committed-next", ROOT)
    await snapshotter.remove("view")
    with pytest.raises(FailedPreconditionError, match="remove"):
        await snapshotter.remove("committed")
    await snapshotter.remove("committed-next")
    await snapshotter.remove("committed")
    assert await walked(snapshotter) == {}


async def test_stat_active(snapshotter: Snapshotter) -> None:
    await snapshotter.prepare("preparing", "", ROOT)
    info = await snapshotter.stat("preparing")
    assert (info.name, info.kind, info.parent) == ("preparing", Kind.ACTIVE, "")
    assert info.labels == {**ROOT, FS_TYPE_LABEL: "ext4"}


async def test_stat_committed(snapshotter: Snapshotter) -> None:
    await snapshotter.prepare("preparing", "", {"gone": "after commit"})
    await snapshotter.commit("committed", "preparing", ROOT)
    info = await snapshotter.stat("committed")
    assert (info.name, info.kind, info.parent) == ("committed", Kind.COMMITTED, "")
    assert info.labels == {**ROOT, FS_TYPE_LABEL: "ext4"}


async def test_transitivity(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "a")
    await committed(snapshotter, "b", "a")
    b = await snapshotter.stat("b")
    assert b.parent == "a"
    assert (await snapshotter.stat(b.parent)).parent == ""


async def test_prepare_view_failing(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "a")
    makers = {"prepare": snapshotter.prepare, "view": snapshotter.view}
    for first, make in makers.items():
        for second, make_again in makers.items():
            key = f"{first}-{second}"
            await make(key, "a")
            with pytest.raises(AlreadyExistsError, match=key):
                await make_again(key, "a")


async def test_commit_refusals(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "a")
    await snapshotter.prepare("key", "a")
    await snapshotter.view("view", "a")
    with pytest.raises(AlreadyExistsError):
        await snapshotter.commit("a", "key")
    with pytest.raises(NotFoundError):
        await snapshotter.commit("b", "nothing")
    with pytest.raises(FailedPreconditionError):
        await snapshotter.commit("b", "view")
    assert (await snapshotter.stat("key")).kind is Kind.ACTIVE


async def test_parents_must_be_committed(snapshotter: Snapshotter) -> None:
    await snapshotter.prepare("active")
    with pytest.raises(InvalidArgumentError):
        await snapshotter.prepare("child", "active")
    with pytest.raises(NotFoundError):
        await snapshotter.prepare("child", "nothing")
    assert set(await walked(snapshotter)) == {"active"}


async def test_update(snapshotter: Snapshotter) -> None:
    before = datetime.now(UTC)
    await committed(snapshotter, "c1")
    await committed(snapshotter, "c2", "c1")
    await snapshotter.prepare("a1", "c2")
    await snapshotter.prepare("a2")
    await snapshotter.view("v1", "c2")
    await snapshotter.view("v2")
    after = datetime.now(UTC)
    expected = {
        "c1": (Kind.COMMITTED, ""),
        "c2": (Kind.COMMITTED, "c1"),
        "a1": (Kind.ACTIVE, "c2"),
        "a2": (Kind.ACTIVE, ""),
        "v1": (Kind.VIEW, "c2"),
        "v2": (Kind.VIEW, ""),
    }
    for name, (kind, parent) in expected.items():
        first = await snapshotter.stat(name)
        assert (first.name, first.kind, first.parent) == (name, kind, parent)
        assert before <= first.created == first.updated <= after

        all_labels = {"l1": "v1", "l2": "v2", "l3": "v3", **ROOT}
        start = datetime.now(UTC)
        second = await snapshotter.update(replace(first, parent="doesnotexist", labels=all_labels))
        assert (second.created, second.kind, second.parent, second.name) == (
            first.created,
            kind,
            parent,
            name,
        )
        assert start <= second.updated <= datetime.now(UTC)
        assert second.labels == all_labels

        third = await snapshotter.update(
            replace(second, labels={"l1": "updated", "l4": "v4"}), "labels.l1", "labels.l2"
        )
        assert third.labels == {"l1": "updated", "l3": "v3", **ROOT}
        fourth = await snapshotter.update(replace(third, labels={"l4": "v4"}), "labels")
        assert fourth.labels == {"l4": "v4"}
        with pytest.raises(InvalidArgumentError, match="parent"):
            await snapshotter.update(replace(fourth, parent="doesnotexist"), "parent")
        assert await snapshotter.stat(name) == fourth


async def test_update_of_nothing(snapshotter: Snapshotter) -> None:
    await snapshotter.prepare("a")
    info = await snapshotter.stat("a")
    with pytest.raises(NotFoundError):
        await snapshotter.update(replace(info, name="b"))


async def test_remove_frees_the_key(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "committed-1")
    await snapshotter.prepare("reuse-1", "committed-1")
    await snapshotter.remove("reuse-1")
    await snapshotter.view("reuse-1", "committed-1")
    await snapshotter.remove("reuse-1")
    await snapshotter.prepare("reuse-1")
    await snapshotter.remove("committed-1")
    await snapshotter.commit("committed-1", "reuse-1")
    assert set(await walked(snapshotter)) == {"committed-1"}


async def test_walk(snapshotter: Snapshotter) -> None:
    await snapshotter.prepare("a-np", labels=ROOT)
    await committed(snapshotter, "p", labels=ROOT)
    await snapshotter.prepare("a", "p", ROOT)
    await snapshotter.view("v", "p", ROOT)
    await committed(snapshotter, "p-wl", labels={"l": "1", **ROOT})
    await snapshotter.prepare("a-wl", "p-wl", {"l": "2", **ROOT})
    await snapshotter.view("v-wl", "p-wl", {"l": "3", **ROOT})
    await snapshotter.prepare("a-np-wl", "", {"l": "2", **ROOT})
    root = 'labels."containerd.io/gc.root"==now'
    for filters, names in {
        (): "a a-np a-np-wl a-wl p p-wl v v-wl",
        (root,): "a a-np a-np-wl a-wl p p-wl v v-wl",
        (f"kind==active,{root}",): "a a-np a-np-wl a-wl",
        (f"kind==view,{root}",): "v v-wl",
        (f"kind==committed,{root}",): "p p-wl",
        ("name==p", "name==a-np-wl"): "a-np-wl p",
        ("name==a-wl,labels.l",): "a-wl",
        ("parent==p",): "a v",
        (f'parent!="",{root}',): "a a-wl v v-wl",
        ("labels.l",): "a-np-wl a-wl p-wl v-wl",
        ("labels.l==2",): "a-np-wl a-wl",
    }.items():
        assert [info.name async for info in snapshotter.walk(*filters)] == names.split(), filters


async def test_walk_with_an_invalid_filter(snapshotter: Snapshotter) -> None:
    with pytest.raises(InvalidArgumentError, match="expected field or quoted"):
        [info async for info in snapshotter.walk("name==a", "labels.")]


async def test_remove_intermediate_snapshot(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "base")
    await committed(snapshotter, "intermediate", "base")
    await snapshotter.prepare("leaf", "intermediate")
    for refused in ("intermediate", "base"):
        with pytest.raises(FailedPreconditionError, match="child"):
            await snapshotter.remove(refused)
    for key in ("leaf", "intermediate", "base"):
        await snapshotter.remove(key)
    assert await walked(snapshotter) == {}


async def test_remove_of_nothing(snapshotter: Snapshotter) -> None:
    with pytest.raises(NotFoundError):
        await snapshotter.remove("nothing")


async def test_view_is_readonly(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "c")
    (active,) = await snapshotter.prepare("a", "c")
    (view,) = await snapshotter.view("v", "c")
    assert active.options == ()
    assert view.options == ("ro",)
    assert await snapshotter.mounts("a") == [active]
    assert await snapshotter.mounts("v") == [view]
    assert len({active.source, view.source}) == 2


async def test_mounts_refusals(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "c")
    with pytest.raises(FailedPreconditionError):
        await snapshotter.mounts("c")
    with pytest.raises(NotFoundError):
        await snapshotter.mounts("nothing")


async def test_stat_in_walk(snapshotter: Snapshotter) -> None:
    await committed(snapshotter, "c")
    await snapshotter.prepare("a", "c")
    async for info in snapshotter.walk():
        assert await snapshotter.stat(info.name) == info


async def test_remove_in_walk(snapshotter: Snapshotter) -> None:
    for key in "abc":
        await snapshotter.prepare(key)
    async for info in snapshotter.walk():
        await snapshotter.remove(info.name)
    assert await walked(snapshotter) == {}


async def test_close_twice(snapshotter: Snapshotter) -> None:
    await snapshotter.close()
    await snapshotter.close()


@pytest.mark.rigs("process")  # test_snapshotter_mounted runs it with files on the rigs with mounts
async def test_128_layers(snapshotter: Snapshotter) -> None:
    parent = ""
    for number in range(128):
        await committed(snapshotter, f"layer-{number}", parent)
        parent = f"layer-{number}"
    await snapshotter.view("top", parent)
    depth = 0
    info = await snapshotter.stat("top")
    while info.parent:
        info = await snapshotter.stat(info.parent)
        depth += 1
    assert depth == 128
    await snapshotter.remove("top")
    for number in reversed(range(128)):
        await snapshotter.remove(f"layer-{number}")
    assert await walked(snapshotter) == {}
