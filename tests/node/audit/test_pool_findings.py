"""Each disagreement of a pool and containerd's records is one finding, on databases that containerd wrote."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.node.audit.recorded_records import recorded
from tests.node.containerd.recorded_databases import SERIES
from thinsim.node.audit.audited import AuditedThin, AuditFinding, FindingKind
from thinsim.node.audit.ownership import OwnedBlocks
from thinsim.node.audit.pool_findings import (
    device_findings,
    reclaimable_findings,
    snapshot_findings,
    status_findings,
)
from thinsim.node.audit.thin_rows import thin_rows
from thinsim.node.containerd.databases import ContainerdRecords
from thinsim.node.containerd.pool_records import ThinIdUse
from thinsim.node.containerd.references import references
from thinsim.snapshotter.device_state import DeviceState
from thinsim.thin.status import PoolStatus, parse_pool_status

BLOCK = 65536
SOUND = "0 2097152 thin-pool 1 20/4096 30/16384 - rw discard_passdown queue_if_no_space - 1024 "


@pytest.fixture(params=SERIES)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> ContainerdRecords:
    return recorded(request.param, tmp_path)


def pool_name(records: ContainerdRecords) -> str:
    return next(iter(records.pool.devices)).partition("-snap-")[0]


def joined(
    records: ContainerdRecords, missing: int | None = None, more: int | None = None
) -> tuple[list[AuditedThin], list[AuditFinding]]:
    """Return rows and findings of a pool with containerd's thin ids, without *missing* and with *more*."""
    ids = {each.thin_id for each in records.pool.devices.values()} - {missing} | ({more} - {None})
    found = references(records.metadata, records.snapshots)
    name = pool_name(records)
    owned = {thin_id: OwnedBlocks(16, 4, 16 * BLOCK) for thin_id in ids if thin_id is not None}
    rows = thin_rows(owned, {}, {}, BLOCK, name, (records, found))
    return rows, [*device_findings(name, rows), *snapshot_findings(name, records, found, rows)]


def of_kind(findings: list[AuditFinding], kind: FindingKind) -> list[str]:
    return [each.text for each in findings if each.kind is kind]


def with_state(records: ContainerdRecords, thin_id: int, state: DeviceState) -> ContainerdRecords:
    devices = {
        name: replace(each, state=state) if each.thin_id == thin_id else each
        for name, each in records.pool.devices.items()
    }
    return replace(records, pool=replace(records.pool, devices=devices))


def first(records: ContainerdRecords) -> int:
    return min(each.thin_id for each in records.pool.devices.values())


def test_a_pool_that_agrees_has_notes_alone(records: ContainerdRecords) -> None:
    rows, findings = joined(records)
    assert {each.kind for each in findings} <= {FindingKind.NOTE}
    assert [row.thin_id for row in rows] == sorted(each.thin_id for each in records.pool.devices.values())
    assert all(row.snapshot and row.kind and row.need for row in rows)
    assert sum(bool(row.holders) for row in rows) > 3


def test_a_thin_id_that_containerd_does_not_know(records: ContainerdRecords) -> None:
    rows, findings = joined(records, more=9000)
    (text,) = of_kind(findings, FindingKind.DISAGREEMENT)
    assert text == "thin id 9000 (1 MiB of its own) is in the pool, and containerd has no device for it"
    assert rows[-1].device == ""


def test_a_thin_id_that_the_pool_does_not_have(records: ContainerdRecords) -> None:
    rows, findings = joined(records, missing=first(records))
    (text,) = of_kind(findings, FindingKind.DISAGREEMENT)
    assert text.endswith(f"and the pool has no thin id {first(records)}")
    assert [row.in_pool for row in rows].count(False) == 1


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        (DeviceState.FAULTY, FindingKind.LEAK, "is Faulty"),
        (DeviceState.REMOVED, FindingKind.LEAK, "is Removed, and its thin id is still there"),
        (DeviceState.SUSPENDING, FindingKind.NOTE, "is Suspending"),
    ],
)
def test_a_state_that_needs_a_look(
    records: ContainerdRecords, state: DeviceState, kind: FindingKind, words: str
) -> None:
    changed = with_state(records, first(records), state)
    _, findings = joined(changed)
    assert len([text for text in of_kind(findings, kind) if words in text]) == 1
    assert of_kind(findings, FindingKind.DISAGREEMENT) == []


def test_a_removed_device_without_thin_id_is_no_finding(records: ContainerdRecords) -> None:
    changed = with_state(records, first(records), DeviceState.REMOVED)
    assert of_kind(joined(changed, missing=first(records))[1], FindingKind.DISAGREEMENT) == []


def test_a_snapshot_without_device_and_a_device_without_snapshot(records: ContainerdRecords) -> None:
    devices = dict(records.pool.devices)
    name, device = next(iter(devices.items()))
    del devices[name]
    stray = f"{pool_name(records)}-snap-9000"
    devices[stray] = replace(device, name=stray)
    changed = replace(records, pool=replace(records.pool, devices=devices))
    texts = of_kind(joined(changed)[1], FindingKind.DISAGREEMENT)
    assert len(texts) == 2
    assert any(text.endswith(f"has no device {name} in containerd's records") for text in texts)
    assert any(text.startswith(f"device {stray} (1 MiB of its own") for text in texts)


def test_a_key_whose_snapshot_is_gone(records: ContainerdRecords) -> None:
    found = references(records.metadata, records.snapshots)
    key = next(key for key, use in found.uses.items() if use.names and not use.children)
    left = {name: each for name, each in records.snapshots.items() if name != key}
    gone = f"{pool_name(records)}-snap-{records.snapshots[key].id}"
    devices = {name: each for name, each in records.pool.devices.items() if name != gone}
    changed = replace(records, snapshots=left, pool=replace(records.pool, devices=devices))
    texts = of_kind(joined(changed)[1], FindingKind.DISAGREEMENT)
    assert len(texts) == 1
    assert texts[0].endswith("and the snapshotter does not")


def test_lost_thin_ids_are_named(records: ContainerdRecords) -> None:
    uses = {**records.pool.thin_ids, 800: ThinIdUse.FAULTY, 801: ThinIdUse.TAKEN}
    changed = replace(records, pool=replace(records.pool, thin_ids=uses))
    notes = of_kind(joined(changed)[1], FindingKind.NOTE)
    assert "containerd has lost thin ids, and never uses them again: 800, 801" in notes


def status(**changes: object) -> PoolStatus:
    return replace(parse_pool_status(SOUND), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "granularity", "kind", "words"),
    [
        (status(mode="Fail"), 4096, FindingKind.DISAGREEMENT, "has failed"),
        (status(mode="ro"), 4096, FindingKind.DISAGREEMENT, "is read-only"),
        (status(needs_check=True), 4096, FindingKind.DISAGREEMENT, "needs a check"),
        (status(mode="out_of_data_space"), 4096, FindingKind.NOTE, "no free data block"),
        (status(used_metadata=4000), 4096, FindingKind.NOTE, "metadata is low"),
        (status(held_root=7), 4096, FindingKind.NOTE, "a metadata snapshot is held"),
        (status(discard="no_discard_passdown"), 4096, FindingKind.NOTE, "passes no discard down"),
        (status(), 0, FindingKind.NOTE, "takes no discards"),
        (status(), 1 << 20, FindingKind.NOTE, "whole units of 1 MiB"),
    ],
)
def test_the_status_of_a_pool(found: PoolStatus, granularity: int, kind: FindingKind, words: str) -> None:
    (finding,) = status_findings("pool", found, BLOCK, granularity)
    assert finding.kind is kind
    assert words in finding.text


def test_a_sound_pool_has_no_finding() -> None:
    assert list(status_findings("pool", status(), BLOCK, 4096)) == []
    assert list(reclaimable_findings("pool", 0, 0)) == []
    assert list(reclaimable_findings("pool", None, 0)) == []


def test_space_of_free_blocks_is_a_leak_with_the_command() -> None:
    (finding,) = reclaimable_findings("pool", 1 << 20, 3)
    assert (finding.kind, finding.fix, finding.bytes) == (FindingKind.LEAK, "thinsim reclaim pool", 1 << 20)
    assert "does not grow without end" in finding.text
