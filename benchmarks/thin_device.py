"""``python -m benchmarks.thin_device`` serves a pool with thin devices, until its input ends.

It prints one line of JSON when the devices are there, and one for each line of its input that it has obeyed:
``snapshot`` and ``forget`` for the first device; ``status``, ``check``, ``statistics`` and ``processes`` of
the pool.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import trio

from benchmarks.backing_contenders import sparse
from thinsim.block import loop
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.errors import InvalidValueError
from thinsim.machine.journal import Journal
from thinsim.rig.emulated_stack import open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors

BLOCK_SECTORS = 128
BLOCK_BYTES = BLOCK_SECTORS * 512
OFFSET = 1 << 20
"""The first byte of the data in its file, in bytes, if the emulated device-mapper must not use the file."""

_SNAPSHOT = 1 << 20
"""The thin id of the snapshot."""


@dataclass(slots=True)
class BenchedPool:
    """A `BenchedPool` is a pool with active thin devices 0, 1 and so on.

    The processes *servers* serve an emulated one: first the device-mapper, then the store.
    """

    dm: EmulatedDeviceMapper | KernelDeviceMapper
    name: str
    servers: Sequence[int] = ()

    async def snapshot(self) -> object:
        """Share all blocks of the first device with a snapshot."""
        thin = self.thin(0)
        await self.dm.suspend(thin)
        await self.dm.message(self.name, 0, f"create_snap {_SNAPSHOT} 0")
        await self.dm.resume(thin)
        return None

    async def forget(self) -> object:
        """Delete the snapshot."""
        await self.dm.message(self.name, 0, f"delete {_SNAPSHOT}")
        return None

    async def status(self) -> object:
        """Return the pool's status line."""
        return await self.dm.status(self.name)

    async def check(self) -> object:
        """Return the problems that the emulated device-mapper finds in the metadata."""
        return list(await self._emulated.check(self.name))

    async def statistics(self) -> object:
        """Return the memory of the emulated device-mapper in bytes, and what its plane has served."""
        resident = psutil.Process(self.servers[0]).memory_info().rss
        return {"resident_bytes": resident, "plane": asdict(await self._emulated.plane_traffic(self.name))}

    async def processes(self) -> object:
        """Return the process ids of the servers."""
        return list(self.servers)

    @property
    def _emulated(self) -> EmulatedDeviceMapper:
        if not isinstance(self.dm, EmulatedDeviceMapper):
            raise InvalidValueError("only an emulated pool has this")
        return self.dm

    def thin(self, number: int) -> str:
        """Return the name of a device."""
        return f"{self.name}-{number}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("size", type=int, help="bytes of each device")
    parser.add_argument("--devices", type=int, default=1, help="number of devices")
    parser.add_argument("--mapped", type=int, default=0, help="mapped blocks of the first device")
    parser.add_argument("--kernel", action="store_true", help="the kernel's dm-thin, on plain files")
    parser.add_argument("--no-file-below", action="store_true", help="data at an offset within the file")
    parser.add_argument("--no-store", action="store_true", help="data in a file outside of the store")
    trio.run(serve, parser.parse_args())


async def serve(options: argparse.Namespace) -> None:
    """Set the pool up, obey, and take everything down."""
    directory, size, devices = options.directory, options.size, options.devices
    blocks = -(-size // BLOCK_BYTES) * devices
    shape = PoolShape(
        name=f"bench-{directory.parent.name}-{directory.name}",
        data_size=Bytes((blocks + (blocks >> 2)) * BLOCK_BYTES),
        metadata_size=Bytes(max(64 << 20, blocks * 40)),
        block_size=Sectors(BLOCK_SECTORS),
        low_water_blocks=0,
        features=("skip_block_zeroing",),
    )
    journal = Journal.create()
    opened = _kernel(directory, shape) if options.kernel else _emulated(directory, shape, journal, options)
    async with opened as pool:
        paths = []
        try:
            for number in range(devices):
                if number or not options.mapped:
                    await pool.dm.message(pool.name, 0, f"create_thin {number}")
                table = f"0 {size // 512} thin {pool.dm.path(pool.name)} {number}"
                await pool.dm.create(pool.thin(number), table)
                paths.append(str(pool.dm.path(pool.thin(number)).resolve()))
            await _obey(pool, paths)
        finally:
            with trio.CancelScope(shield=True):
                for number in range(len(paths)):
                    await pool.dm.remove(pool.thin(number), retry=True)
                await pool.dm.remove(pool.name, retry=True)
    journal.close()


async def _obey(pool: BenchedPool, paths: Sequence[str]) -> None:
    print(json.dumps(paths), flush=True)
    acts = (pool.snapshot, pool.forget, pool.status, pool.check, pool.statistics, pool.processes)
    by_name = {act.__name__: act for act in acts}
    while line := await trio.to_thread.run_sync(sys.stdin.readline):
        print(json.dumps(await by_name[line.strip()]()), flush=True)


@asynccontextmanager
async def _emulated(
    directory: Path, shape: PoolShape, journal: Journal, options: argparse.Namespace
) -> AsyncIterator[BenchedPool]:
    work = directory / "rig"
    work.mkdir()
    async with open_stack(work, shape, journal) as lower:
        if options.mapped:
            await _restore(options.mapped, shape, directory / "mappings.xml", lower.metadata.path)
        with _data_device(directory, shape, options, lower.data.path) as data:
            await lower.dm.create(shape.name, shape.table(str(lower.metadata.path), str(data)))
            servers = lower.dm_server.process.pid, lower.store_server.process.pid
            yield BenchedPool(lower.dm, shape.name, servers)


async def _restore(mapped: int, shape: PoolShape, xml: Path, device: Path) -> None:
    """Write metadata that map the first blocks of thin device 0 to the data blocks of their numbers."""
    xml.write_text(
        f'<superblock uuid="" time="0" transaction="0" version="2" data_block_size="{BLOCK_SECTORS}" '
        f'nr_data_blocks="{shape.data_size // BLOCK_BYTES}">'
        f'<device dev_id="0" mapped_blocks="{mapped}" transaction="0" creation_time="0" snap_time="0">'
        f'<range_mapping origin_begin="0" data_begin="0" length="{mapped}" time="0"/>'
        "</device></superblock>"
    )
    await trio.run_process(["thin_restore", "-q", "-i", str(xml), "-o", str(device)])


@contextmanager
def _data_device(
    directory: Path, shape: PoolShape, options: argparse.Namespace, on_store: Path
) -> Iterator[Path]:
    """Yield the data device: *on_store*, or a loop device on a file outside of the backing store.

    With an offset that loop device begins within its file, so that it and the file differ. It has a page
    cache below it, as the plain loop device has: with direct I/O its reads go to the disk.
    """
    if not (options.no_file_below or options.no_store):
        yield on_store
        return
    offset = OFFSET if options.no_file_below else 0
    file = sparse(directory / "data", shape.data_size + offset)
    command = ["losetup", "--find", "--show", f"--offset={offset}", str(file)]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield Path(path)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


@asynccontextmanager
async def _kernel(directory: Path, shape: PoolShape) -> AsyncIterator[BenchedPool]:
    """Set up a pool of the kernel's dm-thin on two plain loop devices."""
    dm = KernelDeviceMapper()
    sizes = {"metadata": shape.metadata_size, "data": shape.data_size}
    devices: list[loop.LoopDevice] = []
    try:
        devices += (loop.attach(sparse(directory / name, size)) for name, size in sizes.items())
        await dm.create(shape.name, shape.table(*(str(each.path) for each in devices)))
        yield BenchedPool(dm, shape.name)
    finally:
        for device in devices:
            loop.detach(device)


if __name__ == "__main__":
    main()
