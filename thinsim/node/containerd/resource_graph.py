"""`ResourceGraph` has the references between resources that containerd's garbage collector follows.

The rules are those of containerd's core/metadata/gc.go, in scanRoots and references.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from thinsim.node.containerd.gc_labels import (
    FLAT,
    ROOT,
    ContainerdResource,
    ResourceKind,
    back_references,
    expiry,
    forward_references,
)
from thinsim.node.containerd.namespace_records import ContainerdMetadata, LeaseRecord, NamespaceRecord


class ResourceGraph:
    """A `ResourceGraph` has the references in *metadata*; leases that are expired at *now* are not roots."""

    def __init__(self, metadata: ContainerdMetadata, now: datetime) -> None:
        self._now = now
        self._references: dict[ContainerdResource, list[ContainerdResource]] = defaultdict(list)
        self._parents: dict[ContainerdResource, ContainerdResource] = {}
        self._roots: list[ContainerdResource] = []
        self._flat: set[ContainerdResource] = set()
        for namespace in metadata.namespaces.values():
            self._add(namespace)

    def roots(self) -> tuple[ContainerdResource, ...]:
        """Return the resources that the garbage collector keeps whether or not something refers to them."""
        return tuple(self._roots)

    def needed_by(self, root: ContainerdResource) -> set[ContainerdResource]:
        """Return *root* and all resources that it needs, directly or through others."""
        if root in self._flat:
            return self._named_by_flat_lease(root)
        found = {root}
        pending = [root]
        while pending:
            each = pending.pop()
            fresh = {*self._references.get(each, ()), *self._parent_of(each)} - found
            found |= fresh
            pending += fresh
        return found

    def _named_by_flat_lease(self, lease: ContainerdResource) -> set[ContainerdResource]:
        found = {lease, *self._references[lease]}
        for each in tuple(found):
            above = self._parents.get(each)
            while above is not None and above not in found:
                found.add(above)
                above = self._parents.get(above)
        return found

    def _parent_of(self, resource: ContainerdResource) -> Iterator[ContainerdResource]:
        if resource in self._parents:
            yield self._parents[resource]

    def _add(self, namespace: NamespaceRecord) -> None:
        space = namespace.name
        for image in namespace.images.values():
            owner = ContainerdResource(ResourceKind.IMAGE, space, image.name)
            self._add_root(
                owner, image.labels, [ContainerdResource(ResourceKind.CONTENT, space, image.target)]
            )
        for container in namespace.containers.values():
            owner = ContainerdResource(ResourceKind.CONTAINER, space, container.id)
            snapshot = ContainerdResource(
                ResourceKind.SNAPSHOT, space, container.snapshot_key, container.snapshotter
            )
            self._add_root(owner, container.labels, [snapshot] if container.snapshotter else [])
        for sandbox, labels in namespace.sandboxes.items():
            self._add_root(ContainerdResource(ResourceKind.SANDBOX, space, sandbox), labels, [])
        for digest, labels in namespace.contents.items():
            self._add_kept(ContainerdResource(ResourceKind.CONTENT, space, digest), labels)
        for snapshotter, snapshots in namespace.snapshots.items():
            for each in snapshots.values():
                owner = ContainerdResource(ResourceKind.SNAPSHOT, space, each.key, snapshotter)
                self._add_kept(owner, each.labels)
                if each.parent:
                    self._parents[owner] = ContainerdResource(
                        ResourceKind.SNAPSHOT, space, each.parent, snapshotter
                    )
        for lease in namespace.leases.values():
            self._add_lease(space, lease)

    def _add_lease(self, namespace: str, lease: LeaseRecord) -> None:
        ends = expiry(lease.labels)
        if ends is not None and ends < self._now:
            return
        owner = ContainerdResource(ResourceKind.LEASE, namespace, lease.id)
        self._roots.append(owner)
        if FLAT in lease.labels:
            self._flat.add(owner)
        self._references[owner] += [
            *(ContainerdResource(ResourceKind.CONTENT, namespace, digest) for digest in lease.contents),
            *(ContainerdResource(ResourceKind.IMAGE, namespace, name) for name in lease.images),
            *(
                ContainerdResource(ResourceKind.SNAPSHOT, namespace, key, snapshotter)
                for snapshotter, keys in lease.snapshots.items()
                for key in keys
            ),
        ]

    def _add_root(
        self, owner: ContainerdResource, labels: Mapping[str, str], references: Iterable[ContainerdResource]
    ) -> None:
        self._roots.append(owner)
        self._references[owner] += references
        self._add_labels(owner, labels)

    def _add_kept(self, owner: ContainerdResource, labels: Mapping[str, str]) -> None:
        if any(label.startswith(ROOT) for label in labels):
            self._roots.append(owner)
        self._add_labels(owner, labels)

    def _add_labels(self, owner: ContainerdResource, labels: Mapping[str, str]) -> None:
        self._references[owner] += forward_references(owner.namespace, labels)
        for keeper in back_references(owner.namespace, labels):
            self._references[keeper].append(owner)
