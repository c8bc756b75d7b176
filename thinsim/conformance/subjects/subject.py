"""`subject` opens the subject of a history: the engine, the emulated dm-thin, this kernel's or a guest's.

All of them implement one protocol, `Subject`.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import trio

from fuse_backing.mounts import mounts
from thinsim.conformance.answers.answer import Recording, recording_from_json
from thinsim.conformance.histories.history import History, history_to_json
from thinsim.conformance.subjects.engine import EnginePlayer
from thinsim.conformance.subjects.nodes import NodesPlayer
from thinsim.dm.dropin.dropin import write_dropin
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.machine.journal import Journal
from thinsim.machine.sockets import make_socket_directory
from thinsim.machine.working_directory import working_directory
from thinsim.rig.emulated_stack import CONTROL_DEVICE, start_device_mapper
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.kernels import find_kernel

REQUEST, ANSWER, END = ".history", ".answer", "end"
HUNG = "hung"
"""The key of an answer that has no recording because a step did not end."""

_TMPFS = ("/dev/shm", "/run", "/tmp")
_POLL_SECONDS = 0.1
_GUEST_SECONDS = 4 * 3600

Say = Callable[[str], None]


class Side(StrEnum):
    """A `Side` is the name of a subject."""

    ENGINE = "engine"
    EMULATED = "emulated"
    KERNEL = "kernel"
    VM = "vm"


class Subject(Protocol):
    """A `Subject` answers histories, one at a time."""

    async def record(self, history: History) -> Recording:
        """Run *history* on new devices and return its answers.

        ProgramFailedError if a step hangs, or if the devices cannot be removed afterwards.
        """


@asynccontextmanager
async def subject(side: Side, say: Say, *, kernel: str | None = None) -> AsyncIterator[Subject]:
    """Set up a subject; tear everything down at the end. A guest boots the release *kernel*.

    EnvironmentLacksError names what the machine lacks.
    """
    async with working_directory(files_on_tmpfs(), say) as (directory, journal):
        match side:
            case Side.ENGINE:
                yield EnginePlayer(directory)
            case Side.EMULATED:
                async with _emulated(directory, journal) as found:
                    yield found
            case Side.KERNEL:
                yield _OnThread(kernel_player(directory, journal))
            case Side.VM:
                async with _guest(directory, journal, say, kernel) as found:
                    yield found


def files_on_tmpfs() -> Path:
    """Return a directory on tmpfs for the files of a history; EnvironmentLacksError if none exists."""
    types = {str(mount.mountpoint): mount.fstype for mount in mounts()}
    for path in _TMPFS:
        if types.get(path) == "tmpfs":
            return Path(path)
    raise EnvironmentLacksError(
        f"none of {', '.join(_TMPFS)} is a tmpfs; mount one: mount -t tmpfs tmpfs /dev/shm"
    )


def kernel_player(directory: Path, journal: Journal) -> NodesPlayer:
    """Return a player on this kernel's own dm-thin; EnvironmentLacksError if it has no device-mapper."""
    if not kernel_has_device_mapper():
        raise EnvironmentLacksError(
            "this kernel has no device-mapper: run modprobe dm-thin-pool, or use a guest with --on vm"
        )
    return NodesPlayer(directory, os.environ, journal, kernel_source(), kernel=True)


def kernel_release(side: Side, kernel: str | None) -> str:
    """Return the release of this kernel, or of a guest's; EnvironmentLacksError if no guest kernel exists."""
    return find_kernel(kernel).release if side is Side.VM else platform.release()


def kernel_source() -> str:
    """Return this kernel's release, and the version of its thin-pool target that dmsetup prints."""
    done = subprocess.run(["dmsetup", "targets"], capture_output=True, text=True, check=False)
    versions = dict(re.findall(r"^(\S+) +v(\S+)$", done.stdout, re.MULTILINE))
    return f"Linux {platform.release()}, thin-pool {versions.get('thin-pool', 'missing')}"


class _OnThread:
    """`_OnThread` runs a player, whose calls block, on a thread."""

    def __init__(self, player: NodesPlayer) -> None:
        self._player = player

    async def record(self, history: History) -> Recording:
        return await trio.to_thread.run_sync(self._player.record, history)


@asynccontextmanager
async def _emulated(directory: Path, journal: Journal) -> AsyncIterator[Subject]:
    """Open an emulated device-mapper for this subject, used through the drop-in dmsetup."""
    async with AsyncExitStack() as stack:
        volumes, programs = directory / "volumes", directory / "bin"
        for made in (volumes, programs):
            made.mkdir(mode=0o700)
        sockets, entry = make_socket_directory(journal)
        stack.callback(journal.end, entry)
        stack.callback(shutil.rmtree, sockets)
        await start_device_mapper(stack, volumes, sockets / "dm.sock", journal)
        environment = {**os.environ, **write_dropin(programs, sockets / CONTROL_DEVICE)}
        yield _OnThread(NodesPlayer(directory, environment, journal, Side.EMULATED))


class _Guest:
    """A `_Guest` writes histories into a directory that the guest shares, and reads the answers there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0

    async def record(self, history: History) -> Recording:
        self._number += 1
        request = self._directory / f"{self._number:06}{REQUEST}"
        fresh = request.with_suffix(".new")
        fresh.write_text(json.dumps(history_to_json(history)))
        fresh.rename(request)
        answer = request.with_suffix(ANSWER)
        while not answer.exists():
            await trio.sleep(_POLL_SECONDS)
        found = json.loads(answer.read_text())
        answer.unlink()
        if HUNG in found:
            raise ProgramFailedError(f"{history.name}: {found[HUNG]}")
        return recording_from_json(found)

    def end(self) -> None:
        (self._directory / END).touch()


@asynccontextmanager
async def _guest(directory: Path, journal: Journal, say: Say, release: str | None) -> AsyncIterator[Subject]:
    """Boot a guest that answers all histories with its kernel."""
    kernel = find_kernel(release)
    acceleration = await decide(kernel, say)
    shared = directory / "histories"
    shared.mkdir(mode=0o700)
    spec = GuestSpec(kernel, acceleration.kvm, shares=(shared,))
    command = [sys.executable, "-P", "-m", "thinsim.conformance.subjects.answering", str(shared)]

    def forward(piece: bytes) -> None:
        say(piece.decode(errors="replace").rstrip("\n"))

    async with trio.open_nursery() as nursery:
        guest = _Guest(shared)

        async def serve() -> None:
            status = await run_in_guest(
                spec, command, directory, journal, out=forward, err=forward, seconds=_GUEST_SECONDS
            )
            if status:
                raise ProgramFailedError(f"thinsim in the guest exited with status {status}")

        nursery.start_soon(serve)
        yield guest
        guest.end()
