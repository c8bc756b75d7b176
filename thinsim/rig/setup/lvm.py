"""`on_logical_volumes` sets up a pool as container-storage-setup does: LVM on one block device.

The device is a loop device on the backing store. It replaces the device that the file names.
"""

import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.machine.journal import Journal
from thinsim.machine.programs import find_program
from thinsim.rig.backing import open_data_backing
from thinsim.rig.data_place import DataPlace
from thinsim.rig.kernel_pool import KernelPool, refuse_taken, removed_at_end
from thinsim.rig.setup import lvm_commands
from thinsim.rig.setup.sysconfig import StorageSetup
from thinsim.rig.shape import PoolShape
from thinsim.thin.table import parse_pool_table
from thinsim.units import SECTOR_SIZE, Bytes, bytes_of

LVM_DEVICE_SIZE = Bytes(10 << 30)
"""Bytes. LVM makes a thousandth of it metadata, 12 MiB in whole extents, as the documentation shows."""

_LINEAR = re.compile(r"0 (?P<length>\d+) linear \d+:\d+ (?P<start>\d+)")


def find_lvm() -> str:
    """Return the path of the program lvm; EnvironmentLacksError if it is not installed."""
    found = find_program("lvm")
    if found is None:
        raise EnvironmentLacksError("lvm is not in PATH (apt-get install lvm2)")
    return found


@asynccontextmanager
async def on_logical_volumes(
    setup: StorageSetup, directory: Path, journal: Journal, dm: KernelDeviceMapper
) -> AsyncIterator[KernelPool]:
    """Set up the pool in *directory*, which exists; tear it down at the end of the context.

    Each resource is in *journal* before it is taken. ProgramFailedError quotes LVM when it refuses;
    ConflictError names devices that the machine already has.
    """
    await refuse_taken(dm, [setup.pool_device, *setup.devices_below])
    async with open_data_backing(directory, LVM_DEVICE_SIZE, journal) as backing:
        device = backing.data.path
        lvm = _Lvm(find_lvm(), directory / "lvm", device)
        await lvm.run(lvm_commands.make_physical_volume(device))
        await lvm.run(lvm_commands.make_volume_group(setup, device))
        report = await lvm.run(lvm_commands.look_at_volume_group(setup))
        free, whole, uuid = (field.strip() for field in report.split(","))
        # From here on device-mapper has devices; LVM has no other state to remove.
        async with removed_at_end(
            dm, journal, setup.pool_device, uuid=lvm_commands.device_uuid(uuid), below=setup.devices_below
        ):
            await lvm.run(lvm_commands.make_pool(setup, int(free), int(whole)))
            for name in (setup.pool_device, *setup.devices_below):
                await dm.make_nodes(name)  # LVM made them in its own directory
            data, metadata = setup.devices_below
            data_place, metadata_place = await _place(dm, data), await _place(dm, metadata)
            table = parse_pool_table(await dm.table(setup.pool_device))
            yield KernelPool(
                dm=dm,
                shape=PoolShape(
                    setup.pool_device,
                    data_size=bytes_of(table.length),
                    metadata_size=Bytes(metadata_place.length),
                    block_size=table.block_size,
                    low_water_blocks=table.low_water_blocks,
                    features=tuple(table.features.words()),
                ),
                backing=backing,
                data_device=Path(f"/dev/dm-{(await dm.info(data)).minor}"),
                metadata_device=dm.path(metadata),
                metadata_file=backing.data_file,
                data_place=data_place,
                metadata_place=metadata_place,
            )


async def _place(dm: KernelDeviceMapper, name: str) -> DataPlace:
    """Return the place of the volume *name* on its device."""
    table = await dm.table(name)
    found = _LINEAR.fullmatch(table.strip())
    if found is None:
        raise ProgramFailedError(f"{name} is not one linear segment: {table!r}")
    return DataPlace(int(found["start"]) * SECTOR_SIZE, int(found["length"]) * SECTOR_SIZE)


class _Lvm:
    """An `_Lvm` runs LVM with a configuration of its own in *directory*, which it creates."""

    def __init__(self, program: str, directory: Path, device: Path) -> None:
        self._program = program
        for made in (directory, directory / "dev", directory / "lock", directory / "profile"):
            made.mkdir(mode=0o700)
        (directory / "lvm.conf").write_text(lvm_commands.lvm_conf(device, directory))
        self._environment: Mapping[str, str] = {
            **os.environ,
            "LVM_SYSTEM_DIR": str(directory),
            "LVM_SUPPRESS_FD_WARNINGS": "1",
            "LC_ALL": "C",
        }

    async def run(self, words: Sequence[str]) -> str:
        done = await trio.run_process(
            [self._program, *words],
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=self._environment,
        )
        if done.returncode:
            output = (done.stderr or done.stdout).decode(errors="replace")
            why = "; ".join(line.strip() for line in output.splitlines() if line.strip())
            raise ProgramFailedError(f"lvm {' '.join(words)}: {why or f'exit status {done.returncode}'}")
        return done.stdout.decode(errors="replace")
