"""`serve_control_device` serves /dev/mapper/control as a socket: each ioctl is a request and a reply frame.

::

    -> u32 command, u32 length, struct dm_ioctl and data     (native byte order)
    <- i32 errno (0 for success), u32 length, the same

The other end is the preloaded library (``thinsim/dm/dropin/_dmcontrol.c``), which replaces the device in
programs that use libdevmapper.
"""

import errno
import logging
import os
import struct
from pathlib import Path

import trio

from fuse_backing.unix_socket import listen_on
from thinsim.dm.daemon.ioctl.service import IoctlService
from thinsim.dm.packet import MAX_REQUEST, decode, encode
from thinsim.errors import InvalidValueError, KernelError

log = logging.getLogger(__name__)

_HEAD = struct.Struct("=I I")
_ANSWER = struct.Struct("=i I")


async def serve_control_device(
    path: Path,
    service: IoctlService,
    *,
    task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on a socket at *path*, mode 0600, until cancelled; then remove the socket.

    ControlError if the socket can't be made (see `listen_on`).
    """

    async def connection(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                while await _request(stream, service):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client disconnected; its request is carried out all the same
        except Exception:
            log.exception("a connection to the control device failed")

    async with listen_on(path) as listener:
        task_status.started()
        await trio.serve_listeners(connection, [trio.SocketListener(listener)])


async def _request(stream: trio.SocketStream, service: IoctlService) -> bool:
    head = await _exactly(stream, _HEAD.size)
    if head is None:
        return False
    command, length = _HEAD.unpack(head)
    if length > MAX_REQUEST:
        await stream.send_all(_ANSWER.pack(errno.EINVAL, 0))
        return False
    content = await _exactly(stream, length)
    if content is None:
        return False
    number, reply = await _answer(service, command, content)
    await stream.send_all(_ANSWER.pack(number, len(reply)) + reply)
    return True


async def _answer(service: IoctlService, command: int, content: bytes) -> tuple[int, bytes]:
    try:
        packet = decode(content)
        await service.handle(command, packet)
    except KernelError as error:
        log.info("ioctl %d: %s", command, error)
        return error.errno, b""
    except InvalidValueError as error:
        log.info("ioctl %d: %s", command, error)
        return errno.EINVAL, b""
    except OSError as error:
        log.warning("ioctl %d: %s", command, error)
        return error.errno or errno.EIO, b""
    return 0, encode(packet)


async def _exactly(stream: trio.SocketStream, length: int) -> bytes | None:
    """Return *length* bytes, or None if the client disconnects first."""
    received = bytearray()
    while len(received) < length:
        piece = await stream.receive_some(length - len(received))
        if not piece:
            return None
        received += piece
    return bytes(received)


def control_device_socket(directory: Path) -> Path:
    """Return the path of the control device's socket for a daemon in *directory*."""
    return Path(os.fspath(directory)) / "control"
