"""`seen_by_ctr` puts records into the form of ctr's output; `needs_of_the_scene` compares holders."""

from datetime import datetime
from typing import Any

from tests.node.containerd.scene import COLLECTIBLE, IMAGES, KEPT, LEASE, LEASED, VIEW, image_name
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.gc_labels import ContainerdResource, ResourceKind
from thinsim.node.containerd.namespace_records import ClientSnapshot
from thinsim.node.containerd.references import SnapshotNeed, SnapshotReferences


def seen_by_ctr(records: ContainerdRecords) -> dict[str, Any]:
    """Return what `scene.printed` returns, without the tree, from the databases."""
    found: dict[str, Any] = {}
    for name, namespace in records.metadata.namespaces.items():
        snapshots = namespace.snapshots["devmapper"]
        found[name] = {
            "snapshots": {
                key: [each.parent, records.snapshots[each.backend_key].kind_name]
                for key, each in snapshots.items()
            },
            "infos": {key: _info(records, each) for key, each in snapshots.items()},
            "usages": {
                key: _usage(records, each.backend_key)
                for key, each in snapshots.items()
                if records.snapshots[each.backend_key].usage is not None
            },
            "images": {image.name: image.target for image in namespace.images.values()},
            "containers": {each.id: each.image for each in namespace.containers.values()},
            "leases": sorted(namespace.leases),
            "contents": sorted(namespace.contents),
        }
    return found


def _info(records: ContainerdRecords, snapshot: ClientSnapshot) -> dict[str, Any]:
    """Merge both records of a snapshot, as containerd does for its clients (overlayInfo)."""
    backend = records.snapshots[snapshot.backend_key]
    info: dict[str, Any] = {
        "Kind": backend.kind_name,
        "Name": snapshot.key,
        "Labels": {**backend.labels, **snapshot.labels},
        "Created": _time(snapshot.created),
        "Updated": _time(snapshot.updated),
    }
    return {**info, "Parent": snapshot.parent} if snapshot.parent else info


def _time(time: datetime | None) -> str:
    assert time is not None
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def comparable(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the *answers* of ctr without the trees, and with microseconds in place of nanoseconds."""
    return {
        name: {
            **{key: value for key, value in namespace.items() if key != "tree"},
            "infos": {
                key: {
                    field: _with_microseconds(value) if field in ("Created", "Updated") else value
                    for field, value in info.items()
                }
                for key, info in namespace["infos"].items()
            },
        }
        for name, namespace in answers.items()
    }


def _with_microseconds(printed: str) -> str:
    whole, _, fraction = printed.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:6]:0<6}Z"


def _usage(records: ContainerdRecords, key: str) -> int:
    """Subtract the parent's usage, as the devmapper snapshotter does (snapshotter.go, Usage)."""
    snapshot = records.snapshots[key]
    parent = records.snapshots.get(snapshot.parent)
    assert snapshot.usage is not None
    if parent is None:
        return snapshot.usage.size
    assert parent.usage is not None
    return snapshot.usage.size - parent.usage.size


def parents_in_tree(tree: str) -> dict[str, str]:
    """Return the parent of each key in the output of ``ctr snapshots tree``, or an empty text."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in tree.splitlines():
        key = line.lstrip(" \\_")
        depth = max((len(line) - len(key) - 3) // 2, 0)
        above[depth:] = [key]
        parents[key] = above[depth - 1] if depth else ""
    return parents


def needs_of_the_scene(found: SnapshotReferences) -> dict[str, tuple[object, object]]:
    """Return each difference between *found* and the scene: the found value and the right one."""
    expected = _expected()
    seen = {
        (use.names[0].namespace, use.names[0].name, layer_of(found, key)): (use.need, set(use.holders))
        for key, use in found.uses.items()
    }
    seen_by_place = {
        (space, name if layer is None else layer): held for (space, name, layer), held in seen.items()
    }
    return {
        str(place): (seen_by_place.get(place), expected.get(place))
        for place in seen_by_place.keys() | expected.keys()
        if seen_by_place.get(place) != expected.get(place)
    }


def layer_of(found: SnapshotReferences, key: str) -> int | None:
    """Return the number of the layer of a committed snapshot, which is the number of its ancestors."""
    use = found.uses[key]
    if use.snapshot.usage is None:
        return None
    return 0 if not use.snapshot.parent else 1 + (layer_of(found, use.snapshot.parent) or 0)


def _expected() -> dict[tuple[str, str | int], tuple[SnapshotNeed, set[ContainerdResource]]]:
    default, other = "default", "other"
    first = ContainerdResource(ResourceKind.CONTAINER, default, "first")
    second = ContainerdResource(ResourceKind.CONTAINER, other, "second")
    lease = ContainerdResource(ResourceKind.LEASE, default, LEASE)
    kept = ContainerdResource(ResourceKind.SNAPSHOT, default, KEPT, "devmapper")
    expected: dict[tuple[str, str | int], tuple[SnapshotNeed, set[ContainerdResource]]] = {
        (default, layer): (
            SnapshotNeed.HELD,
            {
                first,
                *(
                    ContainerdResource(ResourceKind.IMAGE, default, image_name(name))
                    for name, layers in IMAGES.items()
                    if layer in layers
                ),
                *((lease, kept) if layer == 0 else ()),
            },
        )
        for layer in range(3)
    }
    expected |= {
        (other, layer): (
            SnapshotNeed.HELD,
            {second, ContainerdResource(ResourceKind.IMAGE, other, image_name("both"))},
        )
        for layer in range(2)
    }
    expected |= {
        (default, "first"): (SnapshotNeed.HELD, {first}),
        (other, "second"): (SnapshotNeed.HELD, {second}),
        (default, LEASED): (SnapshotNeed.HELD, {lease}),
        (default, KEPT): (SnapshotNeed.HELD, {kept}),
        (default, COLLECTIBLE): (SnapshotNeed.COLLECTIBLE, set()),
        (default, VIEW): (SnapshotNeed.COLLECTIBLE, set()),
    }
    return expected
