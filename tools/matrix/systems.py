"""`SYSTEMS` lists the systems of the matrix."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MatrixSystem:
    """A `MatrixSystem` is a release of Debian; *suite* is its name on the mirror."""

    suite: str
    containerd_source: str
    """The directory of containerd's devmapper snapshotter in Debian's package of its Go sources."""


SYSTEMS: Mapping[str, MatrixSystem] = {
    system.suite: system
    for system in (
        MatrixSystem("bookworm", "github.com/containerd/containerd/snapshots/devmapper"),
        MatrixSystem("trixie", "github.com/containerd/containerd/snapshots/devmapper"),
        MatrixSystem("sid", "github.com/containerd/containerd/v2/plugins/snapshots/devmapper"),
    )
}
