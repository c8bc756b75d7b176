"""`ControlServer` and `ControlClient` exchange requests and replies as lines of JSON over a unix socket.

::

    -> {"command": "stats", "arguments": {}}
    <- {"ok": true, "result": ...}
    <- {"ok": false, "error": {"errno": 2, "message": "No such file or directory"}}

They know nothing of the meaning of a command. A connection carries any number of requests, one after the
other. A streaming command answers with any number of ``{"ok": true, "item": ...}``, and then with
``{"ok": true, "end": true}`` or an error. It is the last command of its connection, and ends early when the
client closes the connection.
"""

import errno
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from fuse_backing.errors import ControlError, ServerGoneError
from fuse_backing.unix_socket import check_socket_path, listen_on

log = logging.getLogger(__name__)

Arguments = dict[str, object]
Handler = Callable[[Arguments], Awaitable[object]]
StreamHandler = Callable[[Arguments], AsyncGenerator[object, None]]

MAX_REQUEST = 64 * 1024
"""The longest request, in bytes, without its newline."""

_CHUNK = 64 * 1024


class _OversizedError(Exception):
    """A line is longer than allowed; its remaining bytes are skipped."""


class _Lines:
    """A `_Lines` splits a stream into lines."""

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int | None) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    async def next(self) -> bytes | None:
        """Return the next line, None at the end.

        Raises _OversizedError as soon as a line is too long; the next call skips its rest.
        """
        while True:
            newline = self._buffer.find(b"\n", self._searched)
            if newline >= 0:
                line = bytes(self._buffer[:newline])
                del self._buffer[: newline + 1]
                self._searched = 0
                if self._skipping:
                    self._skipping = False
                    continue
                if self._limit is not None and len(line) > self._limit:
                    raise _OversizedError
                return line
            self._searched = len(self._buffer)
            if self._limit is not None and len(self._buffer) > self._limit:
                self._buffer.clear()
                self._searched = 0
                if not self._skipping:
                    self._skipping = True
                    raise _OversizedError
            received = await self._stream.receive_some(_CHUNK)
            if not received:
                return None
            self._buffer += received


class ControlServer:
    """A `ControlServer` answers requests with its handlers; ``serve`` listens."""

    def __init__(
        self, handlers: Mapping[str, Handler], streams: Mapping[str, StreamHandler] | None = None
    ) -> None:
        self._handlers = dict(handlers)
        self._streams = dict(streams or {})

    async def serve(
        self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen on a socket at *path*, mode 0600, until cancelled; then remove the socket.

        A socket that a dead server left is replaced. Raises ControlError (EADDRINUSE) if a server answers
        there, (EEXIST) if something else is at *path*, (ENAMETOOLONG) if the path is too long for a socket.
        """
        async with listen_on(path) as listener:
            task_status.started()  # from here on, a client that connects waits for the loop below
            await trio.serve_listeners(self._connection, [trio.SocketListener(listener)])

    async def _connection(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                lines = _Lines(stream, MAX_REQUEST)
                while await self._request(stream, lines):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has closed the connection
        except Exception:
            log.exception("a connection to the control socket failed")

    async def _request(self, stream: trio.SocketStream, lines: _Lines) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            line = await lines.next()
            if line is None:
                return False
            command, arguments = _parse(line)
        except _OversizedError:
            await _send_error(stream, errno.EMSGSIZE, f"a request must not exceed {MAX_REQUEST} bytes")
            return True
        except ValueError as error:
            await _send_error(stream, errno.EINVAL, f"malformed request: {error}")
            return True
        if command in self._streams:
            await self._stream(stream, command, arguments)
            return False
        handler = self._handlers.get(command)
        if handler is None:
            await _send_error(stream, errno.EOPNOTSUPP, f"unknown command {command!r}")
            return True
        try:
            reply = _encoded({"ok": True, "result": await handler(arguments)})
        except Exception as error:
            await _send_failure(stream, command, error)
        else:
            await stream.send_all(reply)
        return True

    async def _stream(self, stream: trio.SocketStream, command: str, arguments: Arguments) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_closed, stream, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                try:
                    async with aclosing(self._streams[command](arguments)) as items:
                        async for item in items:
                            await stream.send_all(_encoded({"ok": True, "item": item}))
                    await stream.send_all(_encoded({"ok": True, "end": True}))
                except trio.BrokenResourceError:
                    raise
                except Exception as error:
                    await _send_failure(stream, command, error)
            nursery.cancel_scope.cancel()


class ControlClient:
    """A `ControlClient` sends commands to a ControlServer.

    Each command has a connection of its own, so several tasks can share a client.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def call(self, command: str, **arguments: object) -> Any:
        """Return the command's result.

        Raises ControlError with the server's errno, or with the socket's if no server answers.
        """
        async with self._request(command, arguments) as lines:
            return (await self._reply(lines)).get("result")

    async def stream(self, command: str, **arguments: object) -> AsyncGenerator[Any, None]:
        """Yield the items of a streaming command as they arrive. Raises ControlError.

        Close the generator (``contextlib.aclosing``) to end early.
        """
        async with self._request(command, arguments) as lines:
            while True:
                reply = await self._reply(lines)
                if "item" not in reply:
                    return
                yield reply["item"]

    async def server_pid(self) -> int:
        """Return the server's process id, from the kernel (SO_PEERCRED). Raises ControlError."""
        async with await self._connect() as stream:
            size = struct.calcsize("3i")
            credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid: int = struct.unpack("3i", credentials)[0]
            return pid

    @asynccontextmanager
    async def _request(self, command: str, arguments: Arguments) -> AsyncIterator[_Lines]:
        async with await self._connect() as stream:
            # A server that refuses may have closed the connection already: its answer can still be read.
            with suppress(trio.BrokenResourceError):
                await stream.send_all(_encoded({"command": command, "arguments": arguments}))
            yield _Lines(stream, None)

    async def _connect(self) -> trio.SocketStream:
        check_socket_path(self.path)
        connection = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        try:
            await connection.connect(str(self.path))
        except OSError as error:
            connection.close()
            number = error.errno or errno.EIO
            if number in (errno.ENOENT, errno.ECONNREFUSED):
                raise ServerGoneError(f"no server answers on {self.path}; is it mounted?", number) from None
            raise ControlError(f"cannot reach a server on {self.path}: {error.strerror}", number) from None
        except BaseException:
            connection.close()
            raise
        return trio.SocketStream(connection)

    async def _reply(self, lines: _Lines) -> dict[str, Any]:
        try:
            line = await lines.next()
        except trio.BrokenResourceError:
            line = None
        if line is None:
            raise ServerGoneError(f"the server on {self.path} ended before it answered", errno.ECONNRESET)
        try:
            reply = json.loads(line)
            if reply["ok"]:
                return dict(reply)
            message, number = str(reply["error"]["message"]), int(reply["error"]["errno"])
        except (ValueError, KeyError, TypeError) as error:
            raise ControlError(
                f"{self.path}: the server there does not speak this protocol ({error!r})", errno.EPROTO
            ) from None
        raise ControlError(message, number)


async def _cancel_when_closed(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Cancel *scope* when the client closes the connection: between two items nothing else would show it."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some(_CHUNK):
            pass
    scope.cancel()


def _parse(line: bytes) -> tuple[str, Arguments]:
    try:
        request = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise ValueError('a request must be an object with "command"')
    arguments = request.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError('"arguments" must be an object')
    return request["command"], arguments


def _encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


async def _send_error(stream: trio.SocketStream, number: int, message: str) -> None:
    await stream.send_all(_encoded({"ok": False, "error": {"errno": number, "message": message}}))


async def _send_failure(stream: trio.SocketStream, command: str, error: Exception) -> None:
    """Send an error that a handler raised; log one without an errno, which is a bug."""
    number = getattr(error, "errno", None)
    if not isinstance(number, int):
        number = errno.EIO
        if isinstance(error, (ValueError, TypeError, KeyError)):
            number = errno.EINVAL
        log.error("command %s failed", command, exc_info=error)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, OSError) and error.filename is not None:
        name = error.filename
        text = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {text}"
    await _send_error(stream, number, text or type(error).__name__)
