"""These tests run the protocol of the control socket, against a server in the same trio run."""

import errno
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from fuse_backing.control import MAX_REQUEST, Arguments, ControlClient, ControlServer
from fuse_backing.errors import ControlError


async def echo(arguments: Arguments) -> object:
    return arguments


async def missing(arguments: Arguments) -> object:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "thing")


async def broken(arguments: Arguments) -> object:
    raise RuntimeError("a bug")


async def unserialisable(arguments: Arguments) -> object:
    return object()


async def count(arguments: Arguments) -> AsyncGenerator[object, None]:
    for number in range(3):
        yield number


async def failing_stream(arguments: Arguments) -> AsyncGenerator[object, None]:
    yield 1
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class EndlessStream:
    """An `EndlessStream` records when it is closed."""

    def __init__(self) -> None:
        self.closed = trio.Event()

    async def __call__(self, arguments: Arguments) -> AsyncGenerator[object, None]:
        try:
            yield 1
            await trio.sleep_forever()
        finally:
            self.closed.set()


@asynccontextmanager
async def serving(path: Path, endless: EndlessStream | None = None) -> AsyncIterator[ControlClient]:
    server = ControlServer(
        {"echo": echo, "missing": missing, "broken": broken, "unserialisable": unserialisable},
        {"count": count, "failing": failing_stream, "endless": endless or EndlessStream()},
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, path)
        yield ControlClient(path)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_unix_socket(path) as stream:
        yield stream


async def line(stream: trio.SocketStream) -> dict[str, object]:
    received = b""
    while not received.endswith(b"\n"):
        chunk = await stream.receive_some()
        assert chunk, f"closed after {received!r}"
        received += chunk
    reply = json.loads(received)
    assert isinstance(reply, dict)
    return reply


async def test_a_call_returns_what_the_handler_returned(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        assert await client.call("echo", a=1, b=["\udcff"]) == {"a": 1, "b": ["\udcff"]}


async def test_the_socket_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with serving(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_the_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        pass
    assert not (tmp_path / "s").exists()


async def test_a_socket_that_was_replaced_is_left_alone_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        (tmp_path / "s").rename(tmp_path / "old")
        (tmp_path / "s").touch()
    assert (tmp_path / "s").exists()


async def test_an_oserror_travels_with_its_errno(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        with pytest.raises(ControlError, match="thing: No such file") as raised:
            await client.call("missing")
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize(("command", "number"), [("broken", errno.EIO), ("unserialisable", errno.EINVAL)])
async def test_a_bug_in_a_handler_is_an_answer_and_is_logged(
    tmp_path: Path, command: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path / "s") as client:
        with pytest.raises(ControlError) as raised:
            await client.call(command)
        assert await client.call("echo") == {}
    assert raised.value.errno == number
    assert f"command {command} failed" in caplog.text


async def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        with pytest.raises(ControlError, match="unknown command 'nothing'") as raised:
            await client.call("nothing")
    assert raised.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"command": 1}',
        b'{"command": "echo", "arguments": []}',
        b"[" * 60000,
    ],
)
async def test_a_malformed_request_is_answered_and_the_connection_goes_on(
    tmp_path: Path, request_line: bytes
) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as stream:
        await stream.send_all(request_line + b"\n")
        reply = await line(stream)
        assert reply["ok"] is False
        assert isinstance(reply["error"], dict)
        assert reply["error"]["errno"] == errno.EINVAL
        await stream.send_all(b'{"command": "echo"}\n')
        assert await line(stream) == {"ok": True, "result": {}}


async def test_a_request_of_the_largest_size_is_taken(tmp_path: Path) -> None:
    request = b'{"command": "echo", "arguments": {"a": "' + b"x" * (MAX_REQUEST - 43) + b'"}}'
    assert len(request) == MAX_REQUEST
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as stream:
        await stream.send_all(request + b"\n")
        assert (await line(stream))["ok"] is True


@pytest.mark.parametrize("size", [MAX_REQUEST + 1, 5 * MAX_REQUEST])
async def test_an_oversized_request_is_answered_and_skipped(tmp_path: Path, size: int) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as stream:
        await stream.send_all(b"x" * size)
        reply = await line(stream)
        assert isinstance(reply["error"], dict)
        assert reply["error"]["errno"] == errno.EMSGSIZE
        await stream.send_all(b'more of it\n{"command": "echo"}\n')
        assert await line(stream) == {"ok": True, "result": {}}


async def test_requests_sent_together_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"), connected(tmp_path / "s") as stream:
        for number in range(3):
            await stream.send_all(b'{"command":"echo","arguments":{"n":%d}}\n' % number)
        received = b""
        while received.count(b"\n") < 3:
            received += await stream.receive_some()
        assert [json.loads(reply)["result"]["n"] for reply in received.splitlines()] == [0, 1, 2]


async def test_a_stream_yields_its_items_and_ends(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        assert [item async for item in client.stream("count")] == [0, 1, 2]


async def test_a_stream_that_fails_raises_after_its_items(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        items = client.stream("failing")
        assert await anext(items) == 1
        with pytest.raises(ControlError) as raised:
            await anext(items)
    assert raised.value.errno == errno.EIO


async def test_a_stream_ends_on_the_server_when_the_client_leaves(tmp_path: Path) -> None:
    endless = EndlessStream()
    async with serving(tmp_path / "s", endless) as client:
        async with aclosing(client.stream("endless")) as items:
            assert await anext(items) == 1
        with trio.fail_after(60):
            await endless.closed.wait()


async def test_a_client_without_a_server_gets_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=f"no server answers on {tmp_path}/s; is it mounted") as raised:
        await ControlClient(tmp_path / "s").call("echo")
    assert raised.value.errno == errno.ENOENT


async def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with pytest.raises(ControlError, match="no server answers"):
        await ControlClient(tmp_path / "s").call("echo")
    async with serving(tmp_path / "s") as client:
        assert await client.call("echo") == {}


async def refusal(path: Path) -> ControlError:
    with pytest.raises(ControlError) as raised:
        await ControlServer({}).serve(path)
    return raised.value


async def test_a_living_servers_socket_is_not_taken(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        assert (await refusal(tmp_path / "s")).errno == errno.EADDRINUSE
        assert await client.call("echo") == {}


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    assert (await refusal(tmp_path / "s")).errno == errno.EEXIST
    assert (tmp_path / "s").read_text() == "mine"


async def test_a_path_too_long_for_a_socket_is_explained(tmp_path: Path) -> None:
    error = await refusal(tmp_path / ("x" * 108))
    assert error.errno == errno.ENAMETOOLONG
    assert "107 bytes at most" in str(error)


async def test_the_servers_process_id_comes_from_the_kernel(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as client:
        assert await client.server_pid() == os.getpid()
