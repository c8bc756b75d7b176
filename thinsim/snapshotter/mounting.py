"""`mount_of` returns the `Mount` of a snapshot: the type from its label, options by type and kind.

It follows containerd ``plugins/snapshots/devmapper/snapshotter.go``.
"""

from collections.abc import Mapping
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.interface import Info, Kind, Mount

FS_TYPE_LABEL = "containerd.io/snapshot/devmapper/fstype"


def inherited_fs_type(labels: Mapping[str, str]) -> str:
    """Return the file system type of a parent: ext4 without the label, as before the label existed."""
    return labels.get(FS_TYPE_LABEL) or "ext4"


def mount_of(info: Info, device: Path) -> Mount:
    """Return the mount of an active snapshot or view; a view is read-only.

    Raise FailedPreconditionError for a committed snapshot, whose device is not active, and for a snapshot
    whose label an update has removed. containerd returns a wrong device for the first and no mounts for
    the second.
    """
    if info.kind is Kind.COMMITTED:
        raise FailedPreconditionError(f"snapshot {info.name!r} is committed: mount a view of it")
    fs_type = info.labels.get(FS_TYPE_LABEL)
    if not fs_type:
        raise FailedPreconditionError(
            f"snapshot {info.name!r} has no label {FS_TYPE_LABEL}; an update removed it"
        )
    options = []
    if fs_type == "xfs":
        # Parent and child have the same UUID, and xfs refuses to mount one UUID twice.
        options.append("nouuid")
    if info.kind is Kind.VIEW:
        options.append("ro")
    return Mount(type=fs_type, source=str(device), options=tuple(options))
