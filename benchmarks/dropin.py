"""``python -m benchmarks.dropin`` measures the time of a call of the drop-in dmsetup, on its own pool.

It prints the wall time of the whole process. For comparison it prints the time of the same process without a
control device (``dmsetup splitname`` opens none), and the daemon's part: a connection and two ioctls, as
strace shows.
"""

import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from thinsim.dm.dropin.dropin import install
from thinsim.dm.packet import HEAD_SIZE, VERSION, Command, Packet, encode
from thinsim.dm.standing.places import Places

POOL = f"benchmark-{os.getpid()}"
_BUFFER = 16 << 10  # the buffer size that libdevmapper requests first
_HEAD = struct.Struct("=I I")
_ANSWER = struct.Struct("=i I")

SECOND = {"version": Command.VERSION, "info": Command.DEV_STATUS, "status": Command.TABLE_STATUS}
"""The ioctl that each command sends after the one for the version."""


@click.command(help=__doc__)
@click.option("--calls", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(calls: int, json_path: Path | None) -> None:
    with running_pool() as control:
        acts: dict[str, Callable[[], object]] = {"dmsetup splitname": partial(call, "splitname", "a-b")}
        for name, command in SECOND.items():
            acts[f"dmsetup {name}"] = partial(call, name, *([] if name == "version" else [POOL]))
            acts[f"  the daemon's part of {name}"] = partial(converse, control, command)
        taken: dict[str, list[float]] = {name: [] for name in acts}
        for number in range(calls + 1):
            for name, act in acts.items():
                began = time.perf_counter()
                act()
                if number:  # the first call is a warm-up
                    taken[name].append((time.perf_counter() - began) * 1000)
    for name, values in taken.items():
        click.echo(f"{name:32} {statistics.median(values):6.2f} ms")
    if json_path is not None:
        json_path.write_text(json.dumps(taken) + "\n")


def call(*words: str) -> None:
    subprocess.run(["dmsetup", *words], check=True, capture_output=True)


def converse(control: Path, second: Command) -> None:
    """Send the daemon what the preloaded library sends for one call."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control))
        for command, name in ((Command.VERSION, ""), (second, "" if second is Command.VERSION else POOL)):
            head = encode(Packet(version=(4, 0, 0), name=name))
            request = bytearray(head.ljust(_BUFFER, b"\0"))
            struct.pack_into("=I I", request, 4 * len(VERSION), _BUFFER, HEAD_SIZE)
            connection.sendall(_HEAD.pack(command, _BUFFER) + request)
            error, length = _ANSWER.unpack(exactly(connection, _ANSWER.size))
            assert error == 0, os.strerror(error)
            exactly(connection, length)


def exactly(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        piece = connection.recv(length - len(received))
        assert piece, "the daemon closed the connection"
        received += piece
    return received


@contextmanager
def running_pool() -> Iterator[Path]:
    """Run a daemon and a pool for the benchmark; yield the daemon's control device."""
    runtime = Path(tempfile.mkdtemp(prefix="thinsim-bench-", dir="/run"))
    os.environ |= {"THINSIM_RUNTIME_DIR": str(runtime), "THINSIM_STATE_DIR": str(runtime / "state")}
    places = Places.of_this_user()
    os.environ |= install(places)
    try:
        sizes = ("--data-size", "1G", "--metadata-size", "16M")
        thinsim("pool", "create", POOL, "--dir", str(runtime / "pool"), *sizes)
        try:
            yield places.control_device
        finally:
            thinsim("pool", "remove", POOL)
    finally:
        thinsim("dm", "stop", "--force")
        shutil.rmtree(runtime)


def thinsim(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "thinsim", *words], check=True, capture_output=True)


if __name__ == "__main__":
    main()
