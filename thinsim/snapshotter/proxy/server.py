"""Runs a gRPC server for one snapshotter on a unix socket, from listening to a clean end."""

import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import trio

from fuse_backing.unix_socket import check_socket_path, remove_stale_socket
from thinsim.errors import ConflictError, InvalidValueError
from thinsim.snapshotter.interface import Snapshotter
from thinsim.snapshotter.proxy.calls import Calls
from thinsim.snapshotter.proxy.methods import method_handlers
from thinsim.snapshotter.proxy.service import SnapshotsService

# More calls than threads wait for a thread; most of them only wait for the store.
_THREADS = 128
_GRACE_SECONDS = 10.0
# containerd's own limit, either way (defaults/defaults.go).
_MESSAGE_BYTES = 16 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
)


@asynccontextmanager
async def serving(snapshotter: Snapshotter, socket: Path) -> AsyncIterator[None]:
    """Serve *snapshotter* at *socket*, mode 0600, while the block runs.

    At its end nothing new is let in, calls under way have some seconds to end, then are cancelled; what
    a verb does to a device is never cut short. The socket of a server that has died is replaced;
    ControlError where one answers, where something else is in the way, or the path is too long;
    InvalidValueError where its directory is missing.
    """
    await remove_stale_socket(socket)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="call")
    server = grpc.server(threads, options=_OPTIONS)
    with _listening(server, socket):
        async with trio.open_nursery() as nursery:
            handlers = method_handlers(SnapshotsService(snapshotter), Calls(nursery))
            server.add_generic_rpc_handlers((handlers,))
            server.start()
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(_stop, server, threads)


@contextmanager
def _listening(server: grpc.Server, socket: Path) -> Iterator[None]:
    """Have *server* listen at *socket*, taken as a whole or not at all, and removed at the end."""
    # gRPC would replace whatever is at the path. So it gets a name of its own, and a second name for the
    # same socket can be given without a moment at which another server's could be lost.
    own = socket.with_name(f".{socket.name}.{os.getpid()}")
    check_socket_path(own)
    if not socket.parent.is_dir():
        raise InvalidValueError(f"cannot listen on {socket}: {socket.parent} is no directory")
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{own.absolute()}")
    except RuntimeError as error:
        raise ConflictError(f"cannot listen on {socket}: {error}") from None
    finally:
        os.umask(mask)
    try:
        own.chmod(0o600)
        socket.hardlink_to(own)
        identity = socket.lstat().st_ino
    finally:
        own.unlink()
    try:
        yield
    finally:
        if socket.exists() and socket.lstat().st_ino == identity:
            socket.unlink()


def _stop(server: grpc.Server, threads: ThreadPoolExecutor) -> None:
    server.stop(_GRACE_SECONDS).wait()
    threads.shutdown()
