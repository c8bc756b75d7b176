"""`method_handlers` connects each method of the gRPC service with its request type and its verb."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import Message

from thinsim.snapshotter.proxy import snapshots_pb2 as wire
from thinsim.snapshotter.proxy.calls import Calls
from thinsim.snapshotter.proxy.service import SERVICE, SnapshotsService


def method_handlers(service: SnapshotsService, calls: Calls) -> grpc.GenericRpcHandler:
    """Return gRPC's handler of the ten methods, whose verbs run in *calls*."""

    def unary(
        verb: str, request: type[Message], act: Callable[[Any], Awaitable[Message]]
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(
            partial(calls.answer, verb, act),
            request_deserializer=request.FromString,
            response_serializer=_serialized,
        )

    def stream(request: wire.ListSnapshotsRequest, call: grpc.ServicerContext) -> Iterator[Message]:
        yield from calls.answer("List", service.walk, request, call)

    verbs: dict[str, tuple[type[Message], Callable[[Any], Awaitable[Message]]]] = {
        "Prepare": (wire.PrepareSnapshotRequest, service.prepare),
        "View": (wire.ViewSnapshotRequest, service.view),
        "Mounts": (wire.MountsRequest, service.mounts),
        "Commit": (wire.CommitSnapshotRequest, service.commit),
        "Remove": (wire.RemoveSnapshotRequest, service.remove),
        "Stat": (wire.StatSnapshotRequest, service.stat),
        "Update": (wire.UpdateSnapshotRequest, service.update),
        "Usage": (wire.UsageRequest, service.usage),
        "Cleanup": (wire.CleanupRequest, service.cleanup),
    }
    methods = {verb: unary(verb, request, act) for verb, (request, act) in verbs.items()}
    methods["List"] = grpc.unary_stream_rpc_method_handler(
        stream,
        request_deserializer=wire.ListSnapshotsRequest.FromString,
        response_serializer=_serialized,
    )
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
