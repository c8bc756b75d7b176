"""A target is one record: a file and a line in the registry. Nothing else knows of it."""

import ast
import errno
import inspect
import os
import shutil
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

import thinsim.dm
from tests.dm.mappers_under_test import refused
from tests.dm.memory_device import MemoryDevice
from thinsim.dm.daemon.ioctl.control_device import serve_control_device
from thinsim.dm.daemon.ioctl.service import IoctlService
from thinsim.dm.dropin.dropin import write_dropin
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import in_place
from thinsim.dm.emulator.targets import registry
from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.packet import Command, Packet
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError

TREE = Path(thinsim.dm.__file__).parent
LINE = "0 16 fill 7"


class FillTarget(PlainTarget):
    """A `FillTarget` is a ``fill <byte>`` segment: it reads as that byte, and writes are dropped."""

    kind = "fill"

    def __init__(self, length: int, byte: int) -> None:
        super().__init__(length, ())
        self._byte = byte

    def table(self) -> str:
        return str(self._byte)

    async def status(self, *, flush: bool) -> str:
        return f"{self._length} bytes of {self._byte}"

    async def read(self, offset: int, length: int) -> bytes:
        return bytes([self._byte]) * length

    async def write(self, offset: int, data: bytes) -> None:
        raise DeviceMapperError(errno.EIO, "fill takes no writes")

    async def discard(self, offset: int, length: int) -> None:
        raise DeviceMapperError(errno.EOPNOTSUPP, "fill does not support discards")

    async def punch(self, offset: int, length: int) -> None:
        raise DeviceMapperError(errno.EIO, "fill takes no writes")


async def build_fill(line: TableLine, owner: TableOwner, services: TargetServices) -> FillTarget:
    if not line.arguments.isdigit():
        raise DeviceMapperError(errno.EINVAL, f"fill: {line.arguments!r} is no byte")
    return FillTarget(line.length * 512, int(line.arguments))


FILL = TargetType(FillTarget, (1, 2, 3), build_fill)


@pytest.fixture
async def dm() -> AsyncIterator[LocalDeviceMapper]:
    mapper = LocalDeviceMapper(
        NoNodes(), lambda path: MemoryDevice(1 << 20), in_place, target_types=(FILL, *TARGET_TYPES)
    )
    async with mapper.running() as running:
        yield running


async def test_a_new_target_is_one_record(dm: LocalDeviceMapper) -> None:
    await dm.create("seven", LINE)
    assert await dm.table("seven") == LINE
    assert await dm.status("seven") == "0 16 fill 8192 bytes of 7"
    assert await dm.volume("seven").read(512, 4) == b"\x07" * 4
    with refused(errno.EIO, "fill takes no writes"):
        await dm.volume("seven").write(0, bytes(512))
    with refused(errno.EOPNOTSUPP):
        await dm.volume("seven").discard(0, 4096)
    with refused(errno.EINVAL, "does not support messages"):
        await dm.message("seven", 0, "hello")
    await dm.create("both", "0 8 linear /dev/mapper/seven 8\n8 8 fill 9")
    assert await dm.volume("both").read(4095, 2) == b"\x07\x09"
    with refused(errno.EINVAL, "fill: 'x' is no byte"):
        await dm.load("seven", "0 16 fill x")
    await dm.remove("both")
    await dm.remove("seven", force=True)
    assert await dm.list() == []


async def test_a_device_mapper_without_a_target_refuses_its_name() -> None:
    mapper = LocalDeviceMapper(NoNodes(), lambda path: MemoryDevice(1 << 20), in_place)
    async with mapper.running() as dm:
        known = ", ".join(sorted(each.name for each in TARGET_TYPES))
        with refused(errno.EINVAL, rf"unknown target type 'fill' \(known types: {known}\)"):
            await dm.create("seven", LINE)


async def test_a_new_target_has_its_version_in_the_list_of_versions(dm: LocalDeviceMapper) -> None:
    service = IoctlService(dm)
    one = Packet(name=FILL.name)
    await service.handle(Command.GET_TARGET_VERSION, one)
    assert list(versions(one.data)) == [("fill", (1, 2, 3))]
    every = Packet()
    await service.handle(Command.LIST_VERSIONS, every)
    assert list(versions(every.data)) == [(each.name, each.version) for each in (FILL, *TARGET_TYPES)]


@pytest.mark.skipif(
    shutil.which("dmsetup") is None, reason="dmsetup is not installed (apt-get install dmsetup)"
)
async def test_dmsetup_knows_a_new_target(dm: LocalDeviceMapper, tmp_path: Path) -> None:
    await dm.create("seven", LINE)
    control, programs = tmp_path / "control", tmp_path / "bin"
    programs.mkdir()
    environment = {**os.environ, **write_dropin(programs, control)}

    async def dmsetup(*words: str) -> str:
        done = await trio.run_process([programs / "dmsetup", *words], env=environment, capture_stdout=True)
        return done.stdout.decode()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control_device, control, IoctlService(dm))
        listed = [line.split() for line in (await dmsetup("targets")).splitlines()]
        assert listed[0] == ["fill", "v1.2.3"]
        assert [name for name, _ in listed[1:]] == [each.name for each in TARGET_TYPES]
        assert await dmsetup("table", "seven") == f"{LINE}\n"
        assert await dmsetup("status", "seven") == "0 16 fill 8192 bytes of 7\n"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", TARGET_TYPES, ids=lambda kind: kind.name)
def test_only_its_own_file_and_the_registry_name_a_target(kind: TargetType) -> None:
    module = inspect.getmodule(kind.target)
    assert module is not None
    records = {name for name, value in vars(module).items() if value is kind}
    symbols = {kind.target.__name__, module.__name__, *records}
    own = {Path(inspect.getfile(kind.target)), Path(registry.__file__)}
    named = []
    for path in sorted(set(TREE.rglob("*.py")) - own):
        for node in ast.walk(ast.parse(path.read_text())):
            if kind.name in texts(node) or symbols & set(names(node)):
                named.append(f"{path.relative_to(TREE)}: {ast.unparse(node)}")
    assert named == []


def test_each_target_has_a_file_of_its_own() -> None:
    files = [inspect.getfile(each.target) for each in TARGET_TYPES]
    assert len(set(files)) == len(files)


def texts(node: ast.AST) -> list[str]:
    """Return a text that may have a target's name, pieces of f-strings included: f"0 {sectors} error"."""
    return [node.value.strip()] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def names(node: ast.AST) -> list[str]:
    """Return what *node* names or imports."""
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.ImportFrom(module=str(module), names=aliases):
            return [module, *(name for each in aliases for name in (each.name, f"{module}.{each.name}"))]
        case ast.Import(names=aliases):
            return [each.name for each in aliases]
    return []


def versions(data: bytes) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Read ``struct dm_target_versions``."""
    offset = following = 0
    while True:
        offset += following
        following, *version = struct.unpack_from("=I 3I", data, offset)
        name = data[offset + 16 :].partition(b"\0")[0].decode()
        yield name, (version[0], version[1], version[2])
        if not following:
            return
