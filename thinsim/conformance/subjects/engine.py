"""`EnginePlayer` runs a history on the engine in this process: no device nodes, no dmsetup, no root.

It takes seconds where a player with nodes takes minutes. Its answers leave out the details of dmsetup and
loop devices: error messages, device numbers in tables, and the requests at the data's loop device.
"""

import errno
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from thinsim.block.borrowed import Borrowed
from thinsim.block.discard_pieces import discard_pieces
from thinsim.block.interface import BlockDevice
from thinsim.block.sparse import SparseBlockDevice
from thinsim.conformance.answers.answer import HELD, WAITS, Answer, Ending, Recording, Seen
from thinsim.conformance.answers.compare import ERRNO_TEXT
from thinsim.conformance.histories.history import (
    OTHER_KIB,
    BlockRequest,
    Discard,
    Dmsetup,
    Flush,
    Grow,
    History,
    HistoryOperation,
    Look,
    Program,
    QueueLimits,
    Read,
    Write,
)
from thinsim.conformance.histories.suspended import Suspended
from thinsim.conformance.requests.node_io import CONTENT_BYTES, HASH_BYTES, allocated_pages, pattern
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.metadata_device import open_metadata
from thinsim.errors import DeviceMapperError, InvalidValueError, KernelError
from thinsim.thin.metadata.check import Checker, Problem
from thinsim.thin.metadata.dump import xml_lines

ENGINE = "engine"
_WAIT_SECONDS = 1.5
"""Seconds in which the pool's clock and its worker surely come round: each has a period of one second."""
_COMMAND_SECONDS = 60.0
_FILE_NUMBER = re.compile(r"\b0:0\b")  # files have no device number
_READ_PIECE = 1 << 20


class EnginePlayer:
    """An `EnginePlayer` runs one history at a time on the engine, with the files in *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def record(self, history: History) -> Recording:
        """Run *history* on new files, and remove them at the end."""
        sizes = {"data": history.data_kib, "metadata": history.metadata_kib, "other": OTHER_KIB}
        files = {role: self._directory / role for role in sizes}
        try:
            devices = {
                role: SparseBlockDevice.create(file, sizes[role] << 10) for role, file in files.items()
            }
            by_path = {str(files[role]): device for role, device in devices.items()}

            def open_block(path: str) -> BlockDevice:
                if path not in by_path:
                    raise FileNotFoundError(errno.ENOENT, "the history has no such device", path)
                return Borrowed(by_path[path])

            dm = LocalDeviceMapper(NoNodes(), open_block, on_thread)
            async with dm.running(), trio.open_nursery() as nursery:
                run = _Run(dm, devices, nursery)
                answers = [await run.answer(operation) for operation in history.operations]
                nursery.cancel_scope.cancel()
            return Recording(history, ENGINE, tuple(answers), _ending(files["metadata"]))
        finally:
            for file in files.values():
                file.unlink(missing_ok=True)


class _Run:
    """A `_Run` is one history in progress."""

    def __init__(
        self, dm: LocalDeviceMapper, files: dict[str, SparseBlockDevice], nursery: trio.Nursery
    ) -> None:
        self._dm = dm
        self._files = files
        self._nursery = nursery
        self._waiting = 0
        self._suspended = Suspended()
        self._lines: dict[str, str] = {}

    async def answer(self, operation: HistoryOperation) -> Answer:
        held = self._suspended.holds(operation)
        status, text, seen = (HELD, "", None) if held else await self._act(operation)
        if self._waiting:
            await trio.sleep(_WAIT_SECONDS)
        noflush = not self._suspended.pools_may_commit
        lines = {name: await self._dm.status(name, noflush=noflush) for name in await self._dm.list()}
        self._lines = {name: line for name, line in lines.items() if line}
        return Answer(status, text, self._lines, None, seen)

    async def _act(self, operation: HistoryOperation) -> tuple[int, str, Seen | None]:
        match operation:
            case Dmsetup(words):
                return *await self._ask(words), None
            case Write(device, offset, length, tag):
                return *await self._request(device, lambda found: _write(found, offset, length, tag)), None
            case Read(device, offset, length):
                return *await self._request(device, lambda found: _read(found, offset, length)), None
            case Discard(device, offset, length):
                return *await self._request(device, lambda found: _discard(found, offset, length)), None
            case Flush(device):
                return *await self._request(device, _flush), None
            case Grow(role, kib):
                os.truncate(self._files[role].path, kib << 10)
                self._files[role].refresh()
                return 0, "", None
            case Look():
                return 0, "", await self._look()
            case BlockRequest() | QueueLimits() | Program():
                raise InvalidValueError("the engine has no block layer to send requests through")

    async def _ask(self, words: tuple[str, ...]) -> tuple[int, str]:
        try:
            with trio.move_on_after(_COMMAND_SECONDS) as limit:
                text = await self._dmsetup(*(self._real(word) for word in words))
        except KernelError as error:
            return 1, f"{ERRNO_TEXT}{error.errno}"
        if limit.cancelled_caught:
            return WAITS, ""
        self._suspended.note(words, self._lines)
        return 0, text

    async def _dmsetup(self, verb: str, *words: str) -> str:
        flags = {word for word in words if word.startswith("--") and word != "--table"}
        names = [word for word in words if word not in flags]
        match verb, names:
            case "create", [name, "--table", table]:
                await self._dm.create(name, table, readonly="--readonly" in flags)
            case "load", [name, "--table", table]:
                await self._dm.load(name, table, readonly="--readonly" in flags)
            case "suspend", [name]:
                await self._dm.suspend(name, noflush="--noflush" in flags)
            case "resume", [name]:
                await self._dm.resume(name)
            case "remove", [name]:
                await self._dm.remove(name)
            case "message", [name, sector, text]:
                await self._dm.message(name, int(sector), text)
            case "clear", [name]:
                await self._dm.clear(self._dm.devices.find(name))
            case "rename", [name, new]:
                await self._dm.rename(self._dm.devices.find(name), new)
            case "info", [*_, name]:
                return f"{_attributes(await self._dm.info(name))}\n"
            case _:
                raise InvalidValueError(f"a history cannot use dmsetup like this: {verb} {' '.join(words)}")
        return ""

    async def _request(
        self, device: str, act: Callable[[MappedDevice], Awaitable[tuple[int, str]]]
    ) -> tuple[int, str]:
        """Send a request; one that does not complete soon continues in the background."""
        found = self._dm.devices.get(device)
        if found is None:
            return errno.ENOENT, ""
        answers: list[tuple[int, str]] = []
        done = trio.Event()

        async def send() -> None:
            self._waiting += 1
            try:
                answers.append(await act(found))
            except DeviceMapperError as error:
                answers.append((error.errno, ""))
            finally:
                self._waiting -= 1
                done.set()

        self._nursery.start_soon(send)
        with trio.move_on_after(_WAIT_SECONDS):
            await done.wait()
        if not self._may_hold():  # the request is only slow
            with trio.move_on_after(_COMMAND_SECONDS):
                await done.wait()
        return answers[0] if answers else (WAITS, "")

    def _may_hold(self) -> bool:
        """Return whether a request may wait for a suspended device or for space."""
        if self._suspended:
            return True
        for name in self._dm.devices:
            try:
                pool = self._dm.pool(name)
            except DeviceMapperError:
                continue
            if pool.engine.modes.waits_for_space:
                return True
        return False

    async def _look(self) -> Seen:
        infos, contents, tables = {}, {}, {}
        devices = self._dm.devices
        held = self._waiting or self._suspended
        for name in sorted(devices):
            info = await self._dm.info(name)
            infos[name] = f"{_attributes(info)}/{info.target_count}/{info.event_nr}"
            device = devices[name]
            table = self._named(await self._dm.table(name))
            if not _FILE_NUMBER.search(table):
                tables[name] = table
            if device.live is not None and device.live.targets[0].kind == "thin" and not held:
                status, digest = await _whole(device)
                contents[name] = f"errno {status}" if status else digest
        return Seen(contents, tables, infos, allocated_pages(self._files["data"].path))

    def _named(self, table: str) -> str:
        names = {f"{each.number[0]}:{each.number[1]}": name for name, each in self._dm.devices.items()}

        def named(match: re.Match[str]) -> str:
            return f"{{{names[match[0]]}}}" if match[0] in names else match[0]

        return re.sub(r"\b\d+:\d+\b", named, table)

    def _real(self, word: str) -> str:
        def path_or_name(match: re.Match[str]) -> str:
            file = self._files.get(match[1])
            return match[1] if file is None else str(file.path)

        return re.sub(r"\{(\w+)\}", path_or_name, word)


async def _write(device: MappedDevice, offset: int, length: int, tag: int) -> tuple[int, str]:
    if offset >= device.size:
        return errno.ENOSPC, ""
    fits = min(length, device.size - offset)
    await device.write(offset, pattern(offset, length, tag)[:fits])
    return (0 if fits == length else errno.EIO), ""


async def _read(device: MappedDevice, offset: int, length: int) -> tuple[int, str]:
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for start in range(offset, offset + length, _READ_PIECE):
        digest.update(await device.read(start, min(_READ_PIECE, offset + length - start)))
    return 0, digest.hexdigest()


async def _whole(device: MappedDevice) -> tuple[int, str]:
    try:
        return await _read(device, 0, min(device.size, CONTENT_BYTES))
    except DeviceMapperError as error:
        return error.errno, ""


async def _discard(device: MappedDevice, offset: int, length: int) -> tuple[int, str]:
    if not device.granularity:
        return errno.EOPNOTSUPP, ""
    if offset + length > device.size:
        return errno.EINVAL, ""
    for start, size in discard_pieces(offset, length, device.granularity):
        await device.discard(start, size)
    return 0, ""


async def _flush(device: MappedDevice) -> tuple[int, str]:
    await device.flush()
    return 0, ""


def _attributes(info: DeviceInfo) -> str:
    """Return the content of dmsetup's column ``attr`` (lvm2, dmsetup.c, _dm_info_attr)."""
    flags = ((info.live_table, "L"), (info.inactive_table, "I"), (info.suspended, "s"))
    return "".join(letter if flag else "-" for flag, letter in flags) + ("r" if info.read_only else "w")


def _seen_by_thin_check(checker: Checker) -> list[Problem]:
    """Return the problems that thin_check 0.9 also finds; it does not count references to data blocks."""
    return [problem for problem in checker.check() if not problem.text.startswith("data block ")]


def _ending(metadata: Path) -> Ending:
    try:
        with open_metadata(metadata) as opened:
            return Ending(
                int(bool(_seen_by_thin_check(Checker(opened)))),
                "".join(f"{line}\n" for line in xml_lines(opened)),
            )
    except (InvalidValueError, KernelError):
        return Ending(1, "")
