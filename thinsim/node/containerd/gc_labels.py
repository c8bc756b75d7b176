"""A label can refer to another resource of its namespace: `forward_references`, `back_references`.

The rules are those of containerd's garbage collector, core/metadata/gc.go. The owner of a back
reference (``gc.bref``), which containerd 1.6 does not have, lives as long as the resource that it names. The
conditional labels (``gc.cond``) of containerd's main branch of August 2026 depend on the time of the
collection and are not followed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

ROOT = "containerd.io/gc.root"
"""A label of content and snapshots that the collector keeps whether or not something refers to them."""
EXPIRE = "containerd.io/gc.expire"
FLAT = "containerd.io/gc.flat"
"""A label of leases that keep the named resources and parents of snapshots, and follow no label."""

_FORWARD = "containerd.io/gc.ref."
_BACK = "containerd.io/gc.bref."
_SNAPSHOT = "snapshot."


class ResourceKind(StrEnum):
    """A `ResourceKind` is the kind of a thing that the garbage collector keeps or removes."""

    IMAGE = "image"
    CONTAINER = "container"
    LEASE = "lease"
    SANDBOX = "sandbox"
    CONTENT = "content"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True, order=True)
class ContainerdResource:
    """A `ContainerdResource` is a named thing in a namespace; a snapshot also has a snapshotter."""

    kind: ResourceKind
    namespace: str
    name: str
    snapshotter: str = ""


def forward_references(namespace: str, labels: Mapping[str, str]) -> Iterator[ContainerdResource]:
    """Yield the resources that the owner of *labels* keeps."""
    kinds = (ResourceKind.CONTENT, ResourceKind.IMAGE)
    return _named(namespace, labels, _FORWARD, kinds)


def back_references(namespace: str, labels: Mapping[str, str]) -> Iterator[ContainerdResource]:
    """Yield the resources that keep the owner of *labels*."""
    kinds = (ResourceKind.CONTAINER, ResourceKind.CONTENT, ResourceKind.IMAGE)
    return _named(namespace, labels, _BACK, kinds)


def expiry(labels: Mapping[str, str]) -> datetime | None:
    """Return the time at which the owner of *labels* expires; None if never, or for no time of RFC 3339."""
    try:
        found = datetime.fromisoformat(labels.get(EXPIRE, ""))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _named(
    namespace: str, labels: Mapping[str, str], prefix: str, kinds: tuple[ResourceKind, ...]
) -> Iterator[ContainerdResource]:
    for label, value in labels.items():
        if not label.startswith(prefix):
            continue
        rest = label.removeprefix(prefix)
        if rest.startswith(_SNAPSHOT):
            snapshotter = rest.removeprefix(_SNAPSHOT).partition("/")[0]
            yield ContainerdResource(ResourceKind.SNAPSHOT, namespace, value, snapshotter)
            continue
        for kind in kinds:
            # A name may follow, as in containerd.io/gc.ref.content.l.0 for the first layer of a manifest.
            if rest == kind or rest.startswith((f"{kind}.", f"{kind}/")):
                yield ContainerdResource(kind, namespace, value)
