"""The functions of this module convert between the snapshotter's values and gRPC messages.

They follow containerd ``core/snapshots/proxy/convert.go``.
"""

from collections.abc import Iterable
from datetime import UTC

from thinsim.snapshotter.interface import Info, Kind, Mount
from thinsim.snapshotter.proxy import snapshots_pb2 as wire

_KINDS = {Kind.VIEW: wire.VIEW, Kind.ACTIVE: wire.ACTIVE, Kind.COMMITTED: wire.COMMITTED}
_KINDS_FROM_WIRE = {number: kind for kind, number in _KINDS.items()}


def info_message(info: Info) -> wire.Info:
    """Return *info* as a message."""
    message = wire.Info(name=info.name, parent=info.parent, kind=_KINDS[info.kind], labels=dict(info.labels))
    message.created_at.FromDatetime(info.created)
    message.updated_at.FromDatetime(info.updated)
    return message


def info_from(message: wire.Info) -> Info:
    """Return the record in *message*. An unknown kind counts as committed, as in containerd."""
    return Info(
        kind=_KINDS_FROM_WIRE.get(message.kind, Kind.COMMITTED),
        name=message.name,
        parent=message.parent,
        labels=dict(message.labels),
        created=message.created_at.ToDatetime(UTC),
        updated=message.updated_at.ToDatetime(UTC),
    )


def mount_messages(mounts: Iterable[Mount]) -> list[wire.Mount]:
    """Return *mounts* as messages. The client chooses the target."""
    return [wire.Mount(type=mount.type, source=mount.source, options=mount.options) for mount in mounts]


def mounts_from(messages: Iterable[wire.Mount]) -> list[Mount]:
    """Return the mounts in *messages*."""
    return [Mount(message.type, message.source, tuple(message.options)) for message in messages]
