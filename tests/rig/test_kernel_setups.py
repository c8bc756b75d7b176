"""The documented set-ups create the right devices on the kernel's own dm-thin, and remove them."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.errors import ConflictError, DeviceMapperError
from thinsim.machine.journal import Journal, TakenKind, read_journal
from thinsim.machine.mapped_devices import remove_recorded
from thinsim.rig import kernel
from thinsim.rig.contents import Contents
from thinsim.rig.kernel import KernelRig
from thinsim.rig.setup.choice import LOOP_SCRIPT, LVM, find_setup
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter.host import LinuxHost

pytestmark = [pytest.mark.rig, pytest.mark.kernel]
needs_lvm = pytest.mark.skipif(
    shutil.which("lvm", path="/usr/sbin:/sbin:/usr/bin:/bin") is None,
    reason="lvm is not installed (apt-get install lvm2)",
)
BOTH = pytest.mark.parametrize("name", [LOOP_SCRIPT, pytest.param(LVM, marks=needs_lvm)])
NAMES = {
    LOOP_SCRIPT: {"devpool"},
    LVM: {"containerd-devpool", "containerd-devpool_tdata", "containerd-devpool_tmeta"},
}


@asynccontextmanager
async def rig_of(name: str, directory: Path, journal: Journal) -> AsyncIterator[KernelRig]:
    make_pool = find_setup(name, None).make_pool(journal)
    async with kernel.running(directory, PoolShape("unused"), journal, Contents(make_pool=make_pool)) as rig:
        yield rig


@BOTH
async def test_the_documented_devices_exist_and_are_removed(
    name: str, tmp_path: Path, journal: Journal
) -> None:
    dm = KernelDeviceMapper()
    before = set(await dm.list())
    async with rig_of(name, tmp_path, journal) as rig:
        assert set(await dm.list()) - before == NAMES[name]
        assert await rig.check() == []
        assert await rig.mappings() == {}
    assert set(await dm.list()) == before


async def test_the_script_s_pool_is_in_the_shape_that_the_documentation_gives_it(
    tmp_path: Path, journal: Journal
) -> None:
    async with rig_of(LOOP_SCRIPT, tmp_path, journal) as rig:
        words = (await rig.dm.table("devpool")).split()
    assert (words[1], words[5:]) == ("209715200", ["128", "32768", "0"])


@needs_lvm
async def test_lvm_s_pool_has_chunks_of_512_kib_and_lies_on_one_file(
    tmp_path: Path, journal: Journal
) -> None:
    async with rig_of(LVM, tmp_path, journal) as rig:
        assert rig.shape.block_bytes == 512 << 10
        assert rig.shape.features == ("skip_block_zeroing",)
        assert rig.place is not None
        assert rig.place.length == rig.shape.data_size
        assert rig.place.start % rig.shape.block_bytes == 0
        assert (await rig.host_allocation()).ranges == []


@BOTH
async def test_a_discard_frees_the_block_on_the_host_at_its_place(
    name: str, tmp_path: Path, journal: Journal
) -> None:
    async with rig_of(name, tmp_path, journal) as rig:
        pool, block = rig.shape.name, rig.shape.block_bytes
        await rig.dm.message(pool, 0, "create_thin 1")
        await rig.dm.create(f"{pool}-snap-1", f"0 8192 thin /dev/mapper/{pool} 1")
        node = rig.dm.path(f"{pool}-snap-1")
        await trio.to_thread.run_sync(_fill, node, block)
        await rig.settle()
        assert (await rig.host_allocation()).ranges == [(0, block)]
        assert await rig.written_bytes() >= block
        assert isinstance(rig.host, LinuxHost)
        await rig.host.discard(node)
        await rig.settle()
        assert (await rig.host_allocation()).ranges == []
        assert (await rig.ledger()).freed == block
        assert [(event.offset, event.freed) for event in await rig.events(0)] == [(0, block)]
        assert await rig.check() == []


@BOTH
async def test_another_pool_with_the_same_name_is_not_touched(
    name: str, tmp_path: Path, journal: Journal
) -> None:
    dm = KernelDeviceMapper()
    taken = sorted(NAMES[name])[0]
    await dm.create(taken, "0 8 zero")
    try:
        with pytest.raises(ConflictError, match=rf"this machine already has /dev/mapper/{taken},"):
            async with rig_of(name, tmp_path, journal):
                pass
        assert await dm.table(taken) == "0 8 zero "
    finally:
        await dm.remove(taken)


@BOTH
async def test_the_pool_of_a_killed_run_is_removed_but_not_another_with_the_same_name(
    name: str, tmp_path: Path, journal: Journal
) -> None:
    async with rig_of(name, tmp_path, journal) as rig:
        (entry,) = (taken for taken in read_journal(journal.path).taken if taken.kind is TakenKind.MAPPED)
        acts: list[str] = []
        remove_recorded({**entry.fields, "uuid": "another's"}, acts.append)
        assert (acts, NAMES[name] - set(await rig.dm.list())) == ([], set())
        await rig.dm.message(rig.shape.name, 0, "create_thin 1")
        thin = f"{rig.shape.name}-snap-1"
        await rig.dm.create(thin, f"0 8192 thin /dev/mapper/{rig.shape.name} 1")
        remove_recorded(entry.fields, acts.append)
        assert acts[0] == f"removing /dev/mapper/{thin}"
        assert NAMES[name] & set(await rig.dm.list()) == set()
        with pytest.raises(DeviceMapperError) as caught:
            await rig.dm.info(rig.shape.name)
        assert caught.value.errno == errno.ENXIO


def _fill(node: Path, size: int) -> None:
    with node.open("r+b", buffering=0) as device:
        device.write(b"\xa5" * size)
        os.fsync(device.fileno())
