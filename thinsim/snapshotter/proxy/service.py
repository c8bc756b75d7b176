"""Answers the ten verbs of containerd's snapshots service, from request to response.

containerd ``contrib/snapshotservice/service.go``. The name of a snapshotter that a request brings is not
looked at, as there: a socket serves one. Failures are the snapshotter's own errors.
"""

from google.protobuf.empty_pb2 import Empty

from thinsim.snapshotter.errors import InvalidArgumentError
from thinsim.snapshotter.interface import Snapshotter
from thinsim.snapshotter.proxy import snapshots_pb2 as wire
from thinsim.snapshotter.proxy.messages import info_from, info_message, mount_messages

SERVICE = "containerd.services.snapshots.v1.Snapshots"
LIST_BLOCK = 100
"""How many snapshots one response of List brings at most."""


class SnapshotsService:
    """Serves *snapshotter*."""

    def __init__(self, snapshotter: Snapshotter) -> None:
        self._snapshotter = snapshotter

    async def prepare(self, request: wire.PrepareSnapshotRequest) -> wire.PrepareSnapshotResponse:
        """Make an active snapshot."""
        mounts = await self._snapshotter.prepare(request.key, request.parent, dict(request.labels))
        return wire.PrepareSnapshotResponse(mounts=mount_messages(mounts))

    async def view(self, request: wire.ViewSnapshotRequest) -> wire.ViewSnapshotResponse:
        """Make a read-only snapshot."""
        mounts = await self._snapshotter.view(request.key, request.parent, dict(request.labels))
        return wire.ViewSnapshotResponse(mounts=mount_messages(mounts))

    async def mounts(self, request: wire.MountsRequest) -> wire.MountsResponse:
        """Say what to mount."""
        return wire.MountsResponse(mounts=mount_messages(await self._snapshotter.mounts(request.key)))

    async def commit(self, request: wire.CommitSnapshotRequest) -> Empty:
        """Commit; InvalidArgumentError for another parent than the one it was prepared on.

        A client sends a parent at all only where the plugin's configuration lists the capability ``rebase``.
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
        """Change labels: those that the mask names, all of them without a mask."""
        info = await self._snapshotter.update(info_from(request.info), *request.update_mask.paths)
        return wire.UpdateSnapshotResponse(info=info_message(info))

    async def walk(self, request: wire.ListSnapshotsRequest) -> list[wire.ListSnapshotsResponse]:
        """Return the records that fit any of the filters, in blocks."""
        infos = [info_message(info) async for info in self._snapshotter.walk(*request.filters)]
        return [
            wire.ListSnapshotsResponse(info=infos[start : start + LIST_BLOCK])
            for start in range(0, len(infos), LIST_BLOCK)
        ]

    async def usage(self, request: wire.UsageRequest) -> wire.UsageResponse:
        """Return what a snapshot adds to its parent, in bytes and inodes."""
        usage = await self._snapshotter.usage(request.key)
        return wire.UsageResponse(size=usage.size, inodes=usage.inodes)

    async def cleanup(self, request: wire.CleanupRequest) -> Empty:
        """Remove the devices that ``async_remove`` left."""
        await self._snapshotter.cleanup()
        return Empty()
