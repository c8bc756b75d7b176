"""The rows of former owners have each byte that the host holds for freed blocks, once."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.node.audit.recorded_records import recorded
from thinsim.node.audit.former_rows import former_rows
from thinsim.node.containerd.former_records import FormerRecords
from thinsim.node.containerd.references import references
from thinsim.node.reclaim.candidates import candidates, held_bytes
from thinsim.ranges import Range
from thinsim.thin.metadata.best_claims import OwnedRun

BLOCK = 4
OWNERS = st.dictionaries(st.integers(0, 40), st.integers(1, 4), max_size=40)
BLOCKS = st.sets(st.integers(0, 40))
BYTES = st.sets(st.integers(0, 41 * BLOCK - 1))


def ranges(numbers: set[int]) -> list[Range]:
    return [(number, number + 1) for number in sorted(numbers)]


def runs(owners: dict[int, int]) -> list[OwnedRun]:
    """Return *owners* as runs, of which some are adjacent and have the same owner."""
    return [OwnedRun(block, block + 1, owners[block]) for block in sorted(owners)]


@given(OWNERS, BLOCKS, BYTES)
def test_the_sum_of_the_rows_is_the_promise(owners: dict[int, int], free: set[int], held: set[int]) -> None:
    allocated = ranges(held)
    freed = list(candidates(ranges(free), allocated, BLOCK))
    rows = former_rows(freed, allocated, runs(owners), {1, 2}, BLOCK, "pool", None)
    assert sum(row.bytes for row in rows) == held_bytes(freed) == sum(byte // BLOCK in free for byte in held)
    for row in rows:
        mine = {block for block in free if owners.get(block) == row.thin_id}
        assert row.bytes == sum(byte // BLOCK in mine for byte in held)
        assert row.blocks == len(mine & {byte // BLOCK for byte in held})
        assert row.in_pool == (row.thin_id in (1, 2))
    known = [row.bytes for row in rows if row.thin_id is not None]
    assert known == sorted(known, reverse=True)
    assert [row.thin_id for row in rows].count(None) == (len(rows) - len(known)) <= 1


def test_without_a_map_of_the_host_the_known_blocks_count_whole() -> None:
    rows = former_rows(None, (), runs({3: 1, 7: 2, 8: 2}), (), BLOCK, "pool", None)
    assert [(row.thin_id, row.blocks, row.bytes) for row in rows] == [(2, 2, 2 * BLOCK), (1, 1, BLOCK)]


def test_removed_and_present_records_name_a_thin_id(tmp_path: Path) -> None:
    records = recorded("2.1", tmp_path)
    pool = next(iter(records.pool.devices)).partition("-snap-")[0]
    present = next(iter(records.pool.devices.values()))
    key = next(each.key for each in records.snapshots.values() if f"{pool}-snap-{each.id}" == present.name)
    former = FormerRecords(
        {present.thin_id: frozenset({f"{pool}-snap-900"}), 77: frozenset({f"{pool}-snap-901"})},
        {901: frozenset({"default/5/extract-1 sha256:a", "default/6/gone"})},
        {"gone": "localhost/image:latest"},
    )
    records = replace(records, former=former)
    view = records, references(records.metadata, records.snapshots)
    owned = runs({1: present.thin_id, 2: 77, 3: 77, 4: 99})
    rows = former_rows(None, (), owned, (), BLOCK, pool, view)
    found = {row.thin_id: row for row in rows}
    again, gone, nameless = found[present.thin_id], found[77], found[99]
    assert again.devices == [present.name, f"{pool}-snap-900"]
    assert again.snapshots == [key]
    assert gone.devices == [f"{pool}-snap-901"]
    assert gone.snapshots == ["default/6/gone"]
    assert gone.holders == ["container of localhost/image:latest"]
    assert (nameless.devices, nameless.snapshots, nameless.holders) == ([], [], [])
