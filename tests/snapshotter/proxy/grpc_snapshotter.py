"""`GrpcSnapshotter` is a `Snapshotter` at the other end of a gRPC connection, as in containerd.

It follows containerd ``core/snapshots/proxy/proxy.go``.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import grpc
import trio

from tests.snapshotter.proxy.snapshots_client import SnapshotsClient
from thinsim.snapshotter.errors import SnapshotterError
from thinsim.snapshotter.interface import Info, Mount, Usage
from thinsim.snapshotter.proxy.status_codes import CODES

_Result = TypeVar("_Result")
ERRORS = {code: error for error, code in CODES.items()}


class GrpcSnapshotter:
    """A `GrpcSnapshotter` sends each verb as a call and raises a failure's status as its error class."""

    def __init__(self, client: SnapshotsClient) -> None:
        self._client = client

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        return await _called(self._client.prepare, key, parent, labels)

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        return await _called(self._client.view, key, parent, labels)

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        await _called(self._client.commit, name, key, labels)

    async def remove(self, key: str) -> None:
        await _called(self._client.remove, key)

    async def mounts(self, key: str) -> list[Mount]:
        return await _called(self._client.mounts, key)

    async def usage(self, key: str) -> Usage:
        return await _called(self._client.usage, key)

    async def stat(self, key: str) -> Info:
        return await _called(self._client.stat, key)

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        return await _called(self._client.update, info, *fieldpaths)

    async def walk(self, *filters: str) -> AsyncIterator[Info]:
        for info in await _called(self._client.walk, *filters):
            yield info

    async def cleanup(self) -> None:
        await _called(self._client.cleanup)

    async def close(self) -> None:
        """Do nothing: the client closes the connection, the server closes the snapshotter."""


async def _called(act: Callable[..., _Result], *arguments: Any) -> _Result:
    try:
        return await trio.to_thread.run_sync(act, *arguments)
    except grpc.RpcError as error:
        raise ERRORS.get(error.code(), SnapshotterError)(error.details()) from None
