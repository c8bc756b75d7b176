"""Random histories of metadata agree with dictionaries, and with thin_check after each commit.

Each pool stresses another part: wide devices make deep mapping trees, many devices make deep top level
trees, few blocks get many references each, and a large data device has many bitmaps. THINSIM_EXAMPLES sets
the number of histories per pool (3); each has 25 steps.
"""

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.thin.conftest import Tally
from tests.thin.metadata_tools import needs_tools, thin_check
from tests.thin.ram_store import RamStore
from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.metadata_snapshot import release_snapshot, reserve_snapshot
from thinsim.thin.metadata.pool_metadata import PoolMetadata

PICK = st.integers(0, 1 << 30)

Mapped = dict[int, int]


@dataclass
class ExpectedMappings:
    """An `ExpectedMappings` has the mappings of one transaction: virtual to data block, per device."""

    devices: dict[int, Mapped]
    held: dict[int, Mapped] | None = None
    transaction_id: int = 0

    def copy(self) -> "ExpectedMappings":
        held = None if self.held is None else {key: dict(each) for key, each in self.held.items()}
        return ExpectedMappings(
            {key: dict(each) for key, each in self.devices.items()}, held, self.transaction_id
        )


class MetadataMachine(RuleBasedStateMachine):
    data_blocks: ClassVar[int] = 3000
    metadata_blocks: ClassVar[int] = 2000
    width: ClassVar[int] = 3000
    longest: ClassVar[int] = 400
    ids: ClassVar[int] = 6
    cache_blocks: ClassVar[int] = 4096
    check_every_step: ClassVar[bool] = True
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.counts["histories"] += 1
        self.directory = Path(tempfile.mkdtemp())
        self.store = RamStore(self.metadata_blocks)
        self.metadata = self.open()
        self.metadata.extend_data(self.data_blocks)
        self.running = ExpectedMappings({})
        self.commit()

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    def open(self) -> PoolMetadata:
        return PoolMetadata(self.store, 128, cache_blocks=self.cache_blocks)

    def pick(self, number: int) -> ThinId:
        known = sorted(self.running.devices)
        return ThinId(known[number % len(known)])

    def any_devices(self) -> bool:
        return bool(self.running.devices)

    @rule(numbers=st.lists(PICK, min_size=1, max_size=20))
    def create(self, numbers: list[int]) -> None:
        for number in numbers:
            thin_id = number % self.ids
            if thin_id not in self.running.devices:
                self.metadata.create_thin(ThinId(thin_id))
                self.running.devices[thin_id] = {}
        self.commit()

    @precondition(any_devices)
    @rule(numbers=st.lists(PICK, min_size=1, max_size=20), origin=PICK)
    def snapshot(self, numbers: list[int], origin: int) -> None:
        source = self.pick(origin)
        for number in numbers:
            thin_id = number % self.ids
            if thin_id not in self.running.devices:
                self.metadata.create_snap(ThinId(thin_id), source)
                self.running.devices[thin_id] = dict(self.running.devices[source])
        self.commit()

    @precondition(any_devices)
    @rule(numbers=st.lists(PICK, min_size=1, max_size=4))
    def delete(self, numbers: list[int]) -> None:
        for number in numbers:
            if self.running.devices:
                thin_id = self.pick(number)
                self.metadata.delete(thin_id)
                del self.running.devices[thin_id]

    @precondition(any_devices)
    @rule(pick=PICK, begin=PICK, length=PICK, step=st.sampled_from([1, 1, 1, -1, 2, 7]))
    def provision(self, pick: int, begin: int, length: int, step: int) -> None:
        thin_id = self.pick(pick)
        begin, length = begin % self.width, 1 + length % self.longest
        record = self.metadata.open_thin(thin_id)
        for vblock in range(begin, begin + step * length, step):
            if not 0 <= vblock < self.width:
                break
            block = self.metadata.allocate()
            if block is None:
                break
            self.metadata.insert(record, vblock, block)
            self.running.devices[thin_id][vblock] = block
        self.metadata.close_thin(record)

    @precondition(any_devices)
    @rule(pick=PICK, begin=PICK, length=PICK)
    def remove(self, pick: int, begin: int, length: int) -> None:
        thin_id = self.pick(pick)
        begin, length = begin % self.width, 1 + length % self.width
        record = self.metadata.open_thin(thin_id)
        self.metadata.remove_range(record, begin, begin + length)
        self.metadata.close_thin(record)
        mapped = self.running.devices[thin_id]
        for vblock in [each for each in mapped if begin <= each < begin + length]:
            del mapped[vblock]

    @rule()
    def hold_or_release(self) -> None:
        if self.running.held is None:
            reserve_snapshot(self.metadata.transaction)
            self.running.held = self.running.copy().devices
        else:
            release_snapshot(self.metadata.transaction)
            self.running.held = None
        self.commit()

    @rule(new=st.integers(0, (1 << 64) - 1))
    def set_transaction_id(self, new: int) -> None:
        self.metadata.set_transaction_id(self.running.transaction_id, new)
        self.running.transaction_id = new

    @rule(data=st.integers(0, 20000), blocks=st.sampled_from([0, 0, 64, 17000]))
    def grow(self, data: int, blocks: int) -> None:
        self.metadata.extend_data(self.metadata.data.nr_blocks_running + data)
        self.store.blocks += blocks
        self.metadata.extend_metadata(self.store.blocks)
        self.commit()

    @rule()
    def commit(self) -> None:
        self.metadata.commit()
        self.committed = self.running.copy()
        self.counts["commits, each thin_checked"] += 1
        assert thin_check(self.store, self.directory / "metadata") == ""

    @rule()
    def abort(self) -> None:
        self.metadata.transaction.abort()
        self.running = self.committed.copy()
        self.the_trees_agree_with_the_dictionaries()
        # After an abort the metadata is no longer changed.
        self.metadata = self.open()

    @rule()
    def crash(self) -> None:
        self.metadata = self.open()
        self.running = self.committed.copy()

    @invariant()
    def the_trees_agree_with_the_dictionaries(self) -> None:
        metadata, devices = self.metadata, self.running.devices
        self.counts["operations"] += 1
        assert metadata.thin_ids() == sorted(devices)
        for thin_id, mapped in devices.items():
            known = ThinId(thin_id)
            found = [(vblock, packed >> 24) for vblock, packed in metadata.entries(known)]
            assert found == sorted(mapped.items())
            assert metadata.details(known).mapped_blocks == len(mapped)
            assert metadata.highest(known) == max(mapped, default=None)
        used = {block for mapped in devices.values() for block in mapped.values()}
        used.update(block for mapped in (self.running.held or {}).values() for block in mapped.values())
        assert metadata.data.nr_allocated == len(used)

    @invariant()
    def the_transaction_id_is_the_one_last_set(self) -> None:
        assert self.metadata.superblock.transaction_id == self.running.transaction_id

    @invariant()
    def the_checker_finds_nothing(self) -> None:
        if self.check_every_step:
            assert Checker(self.metadata).check() == []


class ManyDevices(MetadataMachine):
    width, longest, ids = 40, 20, 1500
    metadata_blocks = 6000


class ManyReferences(MetadataMachine):
    data_blocks, width, longest, ids = 400, 700, 300, 40


class ManyBitmaps(MetadataMachine):
    data_blocks, width, longest, ids = 17 * 16320, 1 << 40, 100, 4


class TinyCache(MetadataMachine):
    cache_blocks, metadata_blocks = 8, 3000


@needs_tools
@pytest.mark.parametrize(
    "machine",
    [MetadataMachine, ManyDevices, ManyReferences, ManyBitmaps, TinyCache],
    ids=lambda each: each.__name__,
)
def test_random_metadata_histories_agree_with_dictionaries_and_thin_check(machine: Any, tally: Tally) -> None:
    machine.counts = Counter({"histories": 0, "operations": 0})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("THINSIM_EXAMPLES", "3")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    tally("random histories of metadata", machine.__name__, machine.counts)
