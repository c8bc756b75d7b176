"""One suite tests the behaviour of every rig in the registry. No module compares the name of a rig."""

import ast
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import thinsim
from tests.rig.marks import marks_of
from thinsim.errors import DeviceMapperError, InvalidValueError
from thinsim.machine.journal import Journal, read_journal
from thinsim.rig.contents import BARE
from thinsim.rig.interface import Rig
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import AUTO, HERE, RIGS, find_rig, probe_rigs, rig_names
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, sectors

BLOCK = 64 << 10
SIZE = 8 << 20
PACKAGE = Path(thinsim.__file__).parent


@pytest.fixture(params=[pytest.param(each, id=each.name, marks=marks_of(each)) for each in HERE])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    record: RigRecord = request.param
    journal = Journal.create()
    shape = PoolShape(f"rig-{journal.path.stem}", data_size=Bytes(64 << 20), metadata_size=Bytes(4 << 20))
    assert record.running is not None
    async with record.running(tmp_path, shape, journal, BARE) as running:
        assert running.name == record.name
        assert running.shape == shape
        yield running
        assert await running.check() == []
    assert read_journal(journal.path).taken == ()
    journal.close()


async def thin(rig: Rig) -> str:
    """Make a thin device of SIZE bytes and return its name."""
    pool = rig.shape.name
    await rig.dm.message(pool, 0, "create_thin 1")
    await rig.dm.create(f"{pool}-1", f"0 {sectors(SIZE)} thin /dev/mapper/{pool} 1")
    return f"{pool}-1"


async def test_written_data_reads_back_and_is_counted_at_every_height(rig: Rig) -> None:
    device = await thin(rig)
    before = await rig.written_bytes()
    data = bytes(range(256)) * (2 * BLOCK // 256)
    await rig.write(device, BLOCK, data)
    await rig.settle()
    assert await rig.read(device, BLOCK, 2 * BLOCK) == data
    assert not any(await rig.read(device, 0, BLOCK))
    assert await rig.written_bytes() - before >= 2 * BLOCK
    assert (await rig.host_allocation()).allocated == 2 * BLOCK
    (runs,) = (await rig.mappings()).values()
    assert [(run.vblock, run.length) for run in runs] == [(1, 2)]
    await rig.dm.remove(device)


async def test_a_discard_frees_as_much_on_the_host_as_the_ledger_records(rig: Rig) -> None:
    device = await thin(rig)
    await rig.write(device, 0, b"\xa5" * 4 * BLOCK)
    await rig.settle()
    freed = (await rig.ledger()).freed
    await rig.host.discard(rig.dm.path(device))
    await rig.settle()
    assert (await rig.host_allocation()).allocated == 0
    assert (await rig.ledger()).freed - freed == 4 * BLOCK
    assert sum(event.freed for event in await rig.events(0)) == (await rig.ledger()).freed
    assert not any((await rig.mappings()).values())
    await rig.dm.remove(device)


async def test_a_device_that_is_held_open_is_in_use(rig: Rig) -> None:
    device = await thin(rig)
    async with rig.holding_open(device):
        with pytest.raises(DeviceMapperError) as refused:
            await rig.dm.remove(device)
        assert refused.value.errno == errno.EBUSY
    await rig.dm.remove(device)


async def test_the_pools_metadata_opens_for_reading(rig: Rig) -> None:
    device = (await rig.dm.table(rig.shape.name)).split()[3]
    store = rig.open_metadata(device)
    try:
        assert len(store.read(0)) == 4096
    finally:
        store.close()


def test_every_rig_is_found_by_its_name_and_no_other() -> None:
    assert len(set(rig_names())) == len(RIGS)
    assert [find_rig(name) for name in rig_names()] == list(RIGS)
    assert AUTO not in rig_names()
    with pytest.raises(
        InvalidValueError, match=f"rig 'moon' does not exist; there are: {', '.join(rig_names())}"
    ):
        find_rig("moon")


def test_each_need_is_checked_once_and_names_the_rigs_that_have_it(tmp_path: Path) -> None:
    findings = probe_rigs(tmp_path)
    assert len({finding.name for finding in findings}) == len(findings)
    for record in HERE:
        assert any(record.name in finding.needed_by for finding in findings)
    assert {name for finding in findings for name in finding.needed_by} == set(rig_names())


def test_no_module_compares_the_name_of_a_rig() -> None:
    """Callers read the properties of a rig from its record."""
    compared = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        for each in (side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side])
        if isinstance(each, ast.Constant) and each.value in (AUTO, *rig_names())
    ]
    assert compared == []
