"""`SnapshotsClient` is a blocking client of the snapshots service, for threads and hypothesis."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.empty_pb2 import Empty

from thinsim.snapshotter.interface import Info, Mount, Usage
from thinsim.snapshotter.proxy import snapshots_pb2 as wire
from thinsim.snapshotter.proxy.messages import info_from, info_message, mounts_from
from thinsim.snapshotter.proxy.service import SERVICE


@contextmanager
def short_directory() -> Iterator[Path]:
    """Make a temporary directory whose path is short enough for a socket in it."""
    directory = Path(tempfile.mkdtemp(prefix="thinsim-test-", dir="/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


class SnapshotsClient:
    """A `SnapshotsClient` calls *snapshotter* at *socket*. Its calls raise grpc.RpcError."""

    def __init__(self, socket: Path, snapshotter: str = "thinsim", *, namespace: str = "") -> None:
        options = [("grpc.max_receive_message_length", 16 << 20)]
        self.channel = grpc.insecure_channel(f"unix:{socket}", options)
        self._snapshotter = snapshotter
        self._metadata = [("containerd-namespace", namespace)] if namespace else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()

    def prepare(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        request = wire.PrepareSnapshotRequest(key=key, parent=parent, labels=labels)
        return mounts_from(self.call("Prepare", request, wire.PrepareSnapshotResponse).mounts)

    def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        request = wire.ViewSnapshotRequest(key=key, parent=parent, labels=labels)
        return mounts_from(self.call("View", request, wire.ViewSnapshotResponse).mounts)

    def mounts(self, key: str) -> list[Mount]:
        return mounts_from(self.call("Mounts", wire.MountsRequest(key=key), wire.MountsResponse).mounts)

    def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None, parent: str = "") -> None:
        self.call(
            "Commit", wire.CommitSnapshotRequest(name=name, key=key, labels=labels, parent=parent), Empty
        )

    def remove(self, key: str) -> None:
        self.call("Remove", wire.RemoveSnapshotRequest(key=key), Empty)

    def stat(self, key: str) -> Info:
        return info_from(self.call("Stat", wire.StatSnapshotRequest(key=key), wire.StatSnapshotResponse).info)

    def update(self, info: Info, *fieldpaths: str) -> Info:
        request = wire.UpdateSnapshotRequest(info=info_message(info))
        request.update_mask.paths.extend(fieldpaths)
        return info_from(self.call("Update", request, wire.UpdateSnapshotResponse).info)

    def blocks(self, *filters: str) -> list[list[Info]]:
        """Return the records of each response that List streams."""
        method = self.channel.unary_stream(
            f"/{SERVICE}/List",
            request_serializer=wire.ListSnapshotsRequest.SerializeToString,
            response_deserializer=wire.ListSnapshotsResponse.FromString,
        )
        request = wire.ListSnapshotsRequest(snapshotter=self._snapshotter, filters=filters)
        return [
            [info_from(info) for info in block.info] for block in method(request, metadata=self._metadata)
        ]

    def walk(self, *filters: str) -> list[Info]:
        return [info for block in self.blocks(*filters) for info in block]

    def usage(self, key: str) -> Usage:
        response = self.call("Usage", wire.UsageRequest(key=key), wire.UsageResponse)
        return Usage(response.size, response.inodes)

    def cleanup(self) -> None:
        self.call("Cleanup", wire.CleanupRequest(), Empty)

    def call(self, verb: str, request: Any, response: Any) -> Any:
        return self.method(verb, request, response)(request, metadata=self._metadata)

    def method(self, verb: str, request: Any, response: Any) -> Any:
        """Return the callable of *verb*; its ``future`` returns a call that can be cancelled."""
        request.snapshotter = self._snapshotter
        return self.channel.unary_unary(
            f"/{SERVICE}/{verb}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
