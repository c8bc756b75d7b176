"""`listen_on` listens on a unix socket at a path, and replaces the socket of a dead server."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fuse_backing.errors import ControlError

MAX_PATH = 107
"""The longest path of a unix socket, in bytes: unix(7)."""


@asynccontextmanager
async def listen_on(path: Path) -> AsyncIterator[trio.socket.SocketType]:
    """Yield a unix socket that listens at *path*, mode 0600; remove it at the end.

    A socket that a dead server left is replaced. Raises ControlError (EADDRINUSE) if a server answers there,
    (EEXIST) if something else is at *path*, (ENAMETOOLONG) if the path is too long for a socket.
    """
    listener = await _listen(path)
    identity = _identity(path)
    try:
        yield listener
    finally:
        listener.close()
        if identity is not None and _identity(path) == identity:
            path.unlink()


def check_socket_path(path: Path) -> None:
    """Raise ControlError (ENAMETOOLONG) if *path* is too long for a unix socket."""
    if len(os.fsencode(path)) > MAX_PATH:
        raise ControlError(
            f"{path} is too long for a unix socket ({MAX_PATH} bytes at most); choose a shorter one",
            errno.ENAMETOOLONG,
        )


async def remove_stale_socket(path: Path) -> None:
    """Remove the socket that a dead server left at *path*, if there is one.

    Raises ControlError: EADDRINUSE if a server answers there, EEXIST if something else is at *path*.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"{path} is not a socket; choose another path, or remove it", errno.EEXIST)
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as probe:
        try:
            await probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        else:
            raise ControlError(
                f"{path}: another server answers on this socket; choose another path", errno.EADDRINUSE
            )


async def _listen(path: Path) -> trio.socket.SocketType:
    check_socket_path(path)
    await remove_stale_socket(path)
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        # bind() gives the file the socket's own mode (less the umask), so others can never connect:
        # unix_bind_bsd in net/unix/af_unix.c.
        os.fchmod(listener.fileno(), 0o600)
        await listener.bind(str(path))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise ControlError(f"cannot listen on {path}: {error.strerror}", error.errno or errno.EIO) from None
    return listener


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
