"""`references` finds what needs each snapshot of a snapshotter: images, containers, leases, or nothing.

An image needs its target, the content that the target's labels name, the snapshots that labels of content
name, and the parents of those snapshots. containerd's garbage collector decides in the same way
(core/metadata/gc.go).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from thinsim.node.containerd.gc_labels import ContainerdResource, ResourceKind
from thinsim.node.containerd.namespace_records import ContainerdMetadata
from thinsim.node.containerd.resource_graph import ResourceGraph
from thinsim.node.containerd.snapshot_records import BackendSnapshot

DEVMAPPER = "devmapper"
"""The name of containerd's devmapper snapshotter."""


class SnapshotNeed(StrEnum):
    """A `SnapshotNeed` is the reason why a snapshot exists, the strongest first."""

    HELD = "held"
    """An image, a container or another root of the garbage collector needs it."""
    PARENT = "parent"
    """No root needs it, and the snapshotter has a child of it that is held."""
    COLLECTIBLE = "collectible"
    """A namespace has a key for it, and no root needs it: the garbage collector may remove it."""
    UNREFERENCED = "unreferenced"
    """No namespace has a key for it."""


@dataclass(frozen=True, slots=True)
class SnapshotUse:
    """A `SnapshotUse` has a snapshot of the snapshotter, and all that refers to it."""

    snapshot: BackendSnapshot
    names: tuple[ContainerdResource, ...]
    """The keys that namespaces have for it."""
    holders: tuple[ContainerdResource, ...]
    """The images, containers, leases and other roots of the garbage collector that need it."""
    children: tuple[str, ...]
    """The keys of the snapshots in the snapshotter whose parent it is."""
    need: SnapshotNeed

    def holders_of(self, kind: ResourceKind) -> tuple[ContainerdResource, ...]:
        """Return the holders of *kind*, such as images."""
        return tuple(each for each in self.holders if each.kind is kind)


@dataclass(frozen=True, slots=True)
class SnapshotReferences:
    """A `SnapshotReferences` has the use of each snapshot by its key in the snapshotter."""

    uses: Mapping[str, SnapshotUse]
    dangling: tuple[ContainerdResource, ...]
    """The keys of namespaces whose snapshot the snapshotter does not have."""


def references(
    metadata: ContainerdMetadata,
    snapshots: Mapping[str, BackendSnapshot],
    snapshotter: str = DEVMAPPER,
    now: datetime | None = None,
) -> SnapshotReferences:
    """Return the use of each of *snapshots*, which metadata.db of *snapshotter* has.

    A lease that is expired at *now* (by default, the present) holds nothing. An expired image does, until
    containerd has removed it: containerd 1.6 never does.
    """
    backend_keys = {
        ContainerdResource(ResourceKind.SNAPSHOT, namespace.name, each.key, snapshotter): each.backend_key
        for namespace in metadata.namespaces.values()
        for each in namespace.snapshots.get(snapshotter, {}).values()
    }
    names, holders = defaultdict(list), defaultdict(list)
    for name, backend_key in backend_keys.items():
        names[backend_key].append(name)
    graph = ResourceGraph(metadata, now or datetime.now(UTC))
    for root in graph.roots():
        for reached in graph.needed_by(root):
            if reached in backend_keys:
                holders[backend_keys[reached]].append(root)
    children = defaultdict(list)
    for snapshot in snapshots.values():
        children[snapshot.parent].append(snapshot.key)
    parents = _above(holders, snapshots)
    return SnapshotReferences(
        {
            key: SnapshotUse(
                snapshot,
                tuple(sorted(names.get(key, ()))),
                tuple(sorted(holders.get(key, ()))),
                tuple(sorted(children.get(key, ()))),
                _need(key in holders, key in parents, key in names),
            )
            for key, snapshot in snapshots.items()
        },
        tuple(sorted(name for name, backend_key in backend_keys.items() if backend_key not in snapshots)),
    )


def _above(held: Iterable[str], snapshots: Mapping[str, BackendSnapshot]) -> set[str]:
    """Return the keys of all ancestors of *held* in the snapshotter."""
    found: set[str] = set()
    for key in held:
        snapshot = snapshots.get(key)
        while snapshot is not None and snapshot.parent and snapshot.parent not in found:
            found.add(snapshot.parent)
            snapshot = snapshots.get(snapshot.parent)
    return found


def _need(is_held: bool, is_parent: bool, is_named: bool) -> SnapshotNeed:
    if is_held:
        return SnapshotNeed.HELD
    if is_parent:
        return SnapshotNeed.PARENT
    return SnapshotNeed.COLLECTIBLE if is_named else SnapshotNeed.UNREFERENCED
