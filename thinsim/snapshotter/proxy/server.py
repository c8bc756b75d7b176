"""`serving` runs a gRPC server for one snapshotter on a unix socket."""

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

# Further calls wait for a free thread. Most calls only wait for the store.
_THREADS = 128
_GRACE_SECONDS = 10.0
# containerd's own limit in both directions (defaults/defaults.go).
_MESSAGE_BYTES = 16 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
)


@asynccontextmanager
async def serving(snapshotter: Snapshotter, socket: Path) -> AsyncIterator[None]:
    """Serve *snapshotter* at *socket*, mode 0600, while the body runs.

    At its end, new calls are refused and running calls have some seconds to end before they are cancelled.
    A verb's work on a device is never interrupted. The socket of a dead server is replaced. Raise
    ControlError if a server answers at *socket*, if the path exists and is not a socket, or if the path is
    too long; InvalidValueError if its directory is missing.
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
    """Let *server* listen at *socket*, never replacing another server's; remove the socket at the end."""
    # gRPC replaces any file at its path. So it listens at a private name, and a hard link then gives the
    # socket its real name, or fails if another server has taken that name meanwhile.
    own = socket.with_name(f".{socket.name}.{os.getpid()}")
    check_socket_path(own)
    if not socket.parent.is_dir():
        raise InvalidValueError(f"cannot listen on {socket}: {socket.parent} is not a directory")
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
