"""Each snapshot has all holders that containerd's garbage collector would find, and no other."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from thinsim.node.containerd.gc_labels import ContainerdResource, ResourceKind, expiry
from thinsim.node.containerd.namespace_records import (
    ClientSnapshot,
    ContainerdMetadata,
    ContainerRecord,
    ImageRecord,
    LeaseRecord,
    NamespaceRecord,
)
from thinsim.node.containerd.references import SnapshotNeed, SnapshotReferences, references
from thinsim.node.containerd.snapshot_records import BackendSnapshot
from thinsim.snapshotter.interface import Kind

NOW = datetime(2026, 12, 1, tzinfo=UTC)
CONTENT = "containerd.io/gc.ref.content"
SNAPSHOT = "containerd.io/gc.ref.snapshot.devmapper"
BACK = "containerd.io/gc.bref"
IMAGE = ContainerdResource(ResourceKind.IMAGE, "ns", "image")
CONTAINER = ContainerdResource(ResourceKind.CONTAINER, "ns", "container")
LEASE = ContainerdResource(ResourceKind.LEASE, "ns", "lease")
Labels = Mapping[str, str]


def image(labels: Labels | None = None, target: str = "manifest") -> ImageRecord:
    return ImageRecord("image", target, "", labels or {}, None, None)


def container(
    key: str = "", labels: Labels | None = None, snapshotter: str = "devmapper", of: str = ""
) -> ContainerRecord:
    return ContainerRecord("container", of, snapshotter, key, labels or {}, None, None)


def lease(
    *keys: str, contents: tuple[str, ...] = (), images: tuple[str, ...] = (), labels: Labels | None = None
) -> LeaseRecord:
    return LeaseRecord("lease", {"devmapper": keys}, contents, images, labels or {}, None)


def held(
    *roots: ImageRecord | ContainerRecord | LeaseRecord,
    contents: Mapping[str, Labels] | None = None,
    labels: Mapping[str, Labels] | None = None,
    sandboxes: Mapping[str, Labels] | None = None,
) -> SnapshotReferences:
    """Return the references of a namespace with the snapshots base <- top, and alone.

    The snapshotter also has a snapshot that no namespace has a key for.
    """
    labels = labels or {}
    parents = {"base": "", "top": "base", "alone": ""}
    clients = {
        key: ClientSnapshot(key, f"ns/{key}", parent, (), labels.get(key, {}), None, None)
        for key, parent in parents.items()
    }
    namespace = NamespaceRecord(
        "ns",
        {},
        {each.name: each for each in roots if isinstance(each, ImageRecord)},
        contents or {},
        {each.id: each for each in roots if isinstance(each, ContainerRecord)},
        {each.id: each for each in roots if isinstance(each, LeaseRecord)},
        {"devmapper": clients, "overlayfs": {"top": ClientSnapshot("top", "x", "", (), {}, None, None)}},
        sandboxes or {},
    )
    backend = {
        **{f"ns/{key}": (f"ns/{parent}" if parent else "") for key, parent in parents.items()},
        "ns/lost": "",
    }
    return references(ContainerdMetadata(4, {"ns": namespace}), snapshots(backend), now=NOW)


def snapshots(parents: Mapping[str, str]) -> dict[str, BackendSnapshot]:
    return {
        key: BackendSnapshot(key, number, Kind.COMMITTED, parent, None, None, {}, None)
        for number, (key, parent) in enumerate(parents.items(), 1)
    }


def holders(found: SnapshotReferences) -> dict[str, set[ContainerdResource]]:
    return {key.removeprefix("ns/"): set(use.holders) for key, use in found.uses.items() if use.holders}


def test_an_image_needs_the_snapshot_of_its_config_and_its_parents() -> None:
    contents = {
        "manifest": {f"{CONTENT}.config": "config", f"{CONTENT}.l.0": "layer"},
        "config": {SNAPSHOT: "top"},
    }
    found = held(image(), contents=contents)
    assert holders(found) == {"top": {IMAGE}, "base": {IMAGE}}
    assert found.uses["ns/top"].holders_of(ResourceKind.IMAGE) == (IMAGE,)
    assert found.uses["ns/top"].holders_of(ResourceKind.CONTAINER) == ()
    assert found.uses["ns/base"].children == ("ns/top",)
    assert {key: use.need for key, use in found.uses.items()} == {
        "ns/base": SnapshotNeed.HELD,
        "ns/top": SnapshotNeed.HELD,
        "ns/alone": SnapshotNeed.COLLECTIBLE,
        "ns/lost": SnapshotNeed.UNREFERENCED,
    }


def test_an_index_is_followed_to_the_manifests_and_a_cycle_ends() -> None:
    contents = {
        "index": {f"{CONTENT}.m.0": "manifest", f"{CONTENT}/m.1": "absent", CONTENT: "index"},
        "manifest": {CONTENT: "config", f"{CONTENT}x": "not-a-reference"},
        "config": {f"{SNAPSHOT}/name": "top", "containerd.io/gc.ref.snapshot.overlayfs": "alone"},
        "not-a-reference": {SNAPSHOT: "alone"},
    }
    assert holders(held(image(target="index"), contents=contents)) == {"top": {IMAGE}, "base": {IMAGE}}


def test_labels_of_an_image_and_of_a_container_hold_snapshots() -> None:
    assert holders(held(image({SNAPSHOT: "alone"}), container("top"))) == {
        "alone": {IMAGE}, "top": {CONTAINER}, "base": {CONTAINER},
    }  # fmt: skip
    assert holders(held(container(labels={SNAPSHOT: "alone"}, snapshotter=""))) == {"alone": {CONTAINER}}


def test_a_container_on_another_snapshotter_holds_nothing() -> None:
    assert holders(held(container("top", snapshotter="overlayfs"))) == {}


def test_the_name_of_an_image_in_a_container_is_no_reference() -> None:
    """containerd keeps the snapshot of a container whose image was removed, and no image for a container."""
    contents = {"manifest": {SNAPSHOT: "top"}}
    found = held(container("alone", of="image"), contents=contents)
    assert holders(found) == {"alone": {CONTAINER}}


def test_a_lease_holds_snapshots_contents_and_images() -> None:
    contents = {"manifest": {SNAPSHOT: "alone"}}
    assert holders(held(lease("top"))) == {"top": {LEASE}, "base": {LEASE}}
    assert holders(held(lease(contents=("manifest",)), contents=contents)) == {"alone": {LEASE}}
    with_image = held(image(), lease(images=("image",)), contents=contents)
    assert holders(with_image) == {"alone": {IMAGE, LEASE}}


def test_a_flat_lease_holds_parents_and_follows_no_label() -> None:
    flat = {"containerd.io/gc.flat": "1"}
    contents = {"manifest": {SNAPSHOT: "alone"}}
    found = held(
        lease("top", contents=("manifest",), labels=flat),
        contents=contents,
        labels={"top": {SNAPSHOT: "alone"}},
    )
    assert holders(found) == {"top": {LEASE}, "base": {LEASE}}


@pytest.mark.parametrize(
    ("expires", "holds"),
    [("2026-11-30T23:59:59Z", False), ("2026-12-01T00:00:01Z", True), ("2026-12-01T01:00:00+02:00", False),
     ("soon", True), ("2020-01-01T00:00:00", True), ("2026-11-30T23:59:59.123456789Z", False)],
)  # fmt: skip
def test_an_expired_lease_holds_nothing(expires: str, holds: bool) -> None:
    found = held(lease("alone", labels={"containerd.io/gc.expire": expires}))
    assert holders(found) == ({"alone": {LEASE}} if holds else {})


def test_content_and_snapshots_that_are_marked_as_roots_hold() -> None:
    found = held(
        contents={"blob": {SNAPSHOT: "top", "containerd.io/gc.root": "now"}},
        labels={"alone": {"containerd.io/gc.root": "now"}},
    )
    blob = ContainerdResource(ResourceKind.CONTENT, "ns", "blob")
    alone = ContainerdResource(ResourceKind.SNAPSHOT, "ns", "alone", "devmapper")
    assert holders(found) == {"top": {blob}, "base": {blob}, "alone": {alone}}


def test_sandboxes_hold_what_their_labels_name() -> None:
    found = held(sandboxes={"pod": {SNAPSHOT: "alone"}})
    assert holders(found) == {"alone": {ContainerdResource(ResourceKind.SANDBOX, "ns", "pod")}}


@pytest.mark.parametrize(
    ("label", "value", "holder"),
    [
        (f"{BACK}.image", "image", IMAGE),
        (f"{BACK}.image/name", "image", IMAGE),
        (f"{BACK}.container.name", "container", CONTAINER),
        (f"{BACK}.content", "manifest", IMAGE),
        (f"{BACK}.snapshot.devmapper", "top", CONTAINER),
    ],
)
def test_a_back_reference_lets_its_owner_live_as_long_as_the_other(
    label: str, value: str, holder: ContainerdResource
) -> None:
    found = held(image(), container("top"), contents={"manifest": {}}, labels={"alone": {label: value}})
    assert holders(found)["alone"] == {holder}


def test_a_snapshot_below_a_held_one_is_a_parent_even_without_a_key() -> None:
    clients = {"key": ClientSnapshot("key", "b", "", (), {}, None, None)}
    containers = {"container": container("key")}
    namespace = NamespaceRecord("ns", {}, {}, {}, containers, {}, {"devmapper": clients}, {})
    metadata = ContainerdMetadata(3, {"ns": namespace})
    found = references(metadata, snapshots({"a": "", "b": "a", "c": "b"}), now=NOW)
    assert {key: use.need for key, use in found.uses.items()} == {
        "a": SnapshotNeed.PARENT, "b": SnapshotNeed.HELD, "c": SnapshotNeed.UNREFERENCED,
    }  # fmt: skip


def test_parents_in_a_circle_end() -> None:
    found = references(ContainerdMetadata(3, {}), snapshots({"a": "b", "b": "a"}), now=NOW)
    assert {use.need for use in found.uses.values()} == {SnapshotNeed.UNREFERENCED}


def test_a_key_without_its_snapshot_is_dangling() -> None:
    clients = {"key": ClientSnapshot("key", "gone", "", (), {}, None, None)}
    namespace = NamespaceRecord("ns", {}, {}, {}, {}, {}, {"devmapper": clients}, {})
    found = references(ContainerdMetadata(3, {"ns": namespace}), {}, now=NOW)
    assert found.dangling == (ContainerdResource(ResourceKind.SNAPSHOT, "ns", "key", "devmapper"),)
    assert found.uses == {}


def test_no_expiry_is_none() -> None:
    assert expiry({}) is None
