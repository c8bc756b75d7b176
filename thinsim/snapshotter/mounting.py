"""Makes of a snapshot what mount(8) needs: file system type by label, options by type and kind.

containerd ``plugins/snapshots/devmapper/snapshotter.go``.
"""

from collections.abc import Mapping
from pathlib import Path

from thinsim.snapshotter.errors import FailedPreconditionError
from thinsim.snapshotter.interface import Info, Kind, Mount

FS_TYPE_LABEL = "containerd.io/snapshot/devmapper/fstype"


def inherited_fs_type(labels: Mapping[str, str]) -> str:
    """Return the type of a parent's file system; one without the label dates from when all were ext4."""
    return labels.get(FS_TYPE_LABEL) or "ext4"


def mount_of(info: Info, device: Path) -> Mount:
    """Return the mount of an active snapshot or view; a view is read-only.

    FailedPreconditionError for a committed snapshot (its device is not active) and for one whose label
    was removed by an update. containerd gives a wrong device for the first, no mounts for the second.
    """
    if info.kind is Kind.COMMITTED:
        raise FailedPreconditionError(f"snapshot {info.name!r} is committed: mount a view of it")
    fs_type = info.labels.get(FS_TYPE_LABEL)
    if not fs_type:
        raise FailedPreconditionError(f"snapshot {info.name!r} has lost its label {FS_TYPE_LABEL}")
    options = []
    if fs_type == "xfs":
        # Parent and child carry the same UUID, and xfs mounts a UUID once.
        options.append("nouuid")
    if info.kind is Kind.VIEW:
        options.append("ro")
    return Mount(type=fs_type, source=str(device), options=tuple(options))
