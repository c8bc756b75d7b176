"""`SnapshotsService` answers the ten verbs of the snapshots service of containerd.

It follows containerd ``contrib/snapshotservice/service.go``, and like it ignores the snapshotter's name
in a request: each socket serves one snapshotter. It raises the snapshotter's own errors.
"""

from google.protobuf.empty_pb2 import Empty

from thinsim.snapshotter.errors import InvalidArgumentError
from thinsim.snapshotter.interface import Snapshotter
from thinsim.snapshotter.proxy import snapshots_pb2 as wire
from thinsim.snapshotter.proxy.messages import info_from, info_message, mount_messages

SERVICE = "containerd.services.snapshots.v1.Snapshots"
LIST_BLOCK = 100
"""The largest number of snapshots in one response of List."""


class SnapshotsService:
    """A `SnapshotsService` translates gRPC requests into calls of *snapshotter*."""

    def __init__(self, snapshotter: Snapshotter) -> None:
        self._snapshotter = snapshotter

    async def prepare(self, request: wire.PrepareSnapshotRequest) -> wire.PrepareSnapshotResponse:
        """Create an active snapshot."""
        mounts = await self._snapshotter.prepare(request.key, request.parent, dict(request.labels))
        return wire.PrepareSnapshotResponse(mounts=mount_messages(mounts))

    async def view(self, request: wire.ViewSnapshotRequest) -> wire.ViewSnapshotResponse:
        """Create a read-only snapshot."""
        mounts = await self._snapshotter.view(request.key, request.parent, dict(request.labels))
        return wire.ViewSnapshotResponse(mounts=mount_messages(mounts))

    async def mounts(self, request: wire.MountsRequest) -> wire.MountsResponse:
        """Return the mounts of a snapshot."""
        return wire.MountsResponse(mounts=mount_messages(await self._snapshotter.mounts(request.key)))

    async def commit(self, request: wire.CommitSnapshotRequest) -> Empty:
        """Commit a snapshot. Raise InvalidArgumentError for a parent other than the one it was prepared on.

        A client sends a parent only if the plugin's configuration lists the capability ``rebase``.
        """
        if request.parent:
            now = (await self._snapshotter.stat(request.key)).parent
            if now != request.parent:
                raise InvalidArgumentError(
                    f"snapshot {request.key!r} was prepared on {now or 'no parent'!r} "
                    f"and cannot be committed on {request.parent!r}"
                )
        await self._snapshotter.commit(request.name, request.key, dict(request.labels))
        return Empty()

    async def remove(self, request: wire.RemoveSnapshotRequest) -> Empty:
        """Remove a snapshot."""
        await self._snapshotter.remove(request.key)
        return Empty()

    async def stat(self, request: wire.StatSnapshotRequest) -> wire.StatSnapshotResponse:
        """Return a snapshot's record."""
        return wire.StatSnapshotResponse(info=info_message(await self._snapshotter.stat(request.key)))

    async def update(self, request: wire.UpdateSnapshotRequest) -> wire.UpdateSnapshotResponse:
        """Change the labels in the update mask, or all labels without a mask."""
        info = await self._snapshotter.update(info_from(request.info), *request.update_mask.paths)
        return wire.UpdateSnapshotResponse(info=info_message(info))

    async def walk(self, request: wire.ListSnapshotsRequest) -> list[wire.ListSnapshotsResponse]:
        """Return the records that match any of the filters, at most ``LIST_BLOCK`` in each response."""
        infos = [info_message(info) async for info in self._snapshotter.walk(*request.filters)]
        return [
            wire.ListSnapshotsResponse(info=infos[start : start + LIST_BLOCK])
            for start in range(0, len(infos), LIST_BLOCK)
        ]

    async def usage(self, request: wire.UsageRequest) -> wire.UsageResponse:
        """Return the bytes and inodes that a snapshot adds to its parent."""
        usage = await self._snapshotter.usage(request.key)
        return wire.UsageResponse(size=usage.size, inodes=usage.inodes)

    async def cleanup(self, request: wire.CleanupRequest) -> Empty:
        """Remove the devices that earlier removals have left."""
        await self._snapshotter.cleanup()
        return Empty()
