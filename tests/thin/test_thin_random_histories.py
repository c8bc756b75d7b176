"""Random histories agree with the model in each byte and count after each step."""

from typing import Any

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

from tests.thin.block_model import ModelDevice, PoolModel
from tests.thin.ram_pool import RamPool
from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import PoolMode
from thinsim.thin.space_errors import NoDataSpace
from thinsim.thin.table import PoolFeatures

BLOCK = 512
THIN_BLOCKS = 24
DATA_BLOCKS = 48
IDS = st.integers(0, 5)
PICK = st.integers(0, 1000)
OFFSETS = st.integers(0, THIN_BLOCKS * BLOCK - 1) | st.integers(0, THIN_BLOCKS - 1).map(
    lambda block: block * BLOCK
)
LENGTHS = st.integers(1, 12 * BLOCK) | st.integers(1, 12).map(lambda blocks: blocks * BLOCK)


def blocks_of(content: bytes) -> list[bytes]:
    return [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]


class PoolMachine(RuleBasedStateMachine):
    passes_down = True

    def __init__(self) -> None:
        super().__init__()
        self.ram = RamPool(DATA_BLOCKS, 1, PoolFeatures(no_discard_passdown=not self.passes_down))
        self.model = PoolModel(BLOCK, passes_down=self.passes_down)
        self.opened: dict[int, ThinDevice] = {}
        self.tag = 0

    # The helpers of the rules.

    @property
    def ids(self) -> list[int]:
        return sorted(self.model.running.devices)

    def device(self, thin_id: int) -> ThinDevice:
        if thin_id not in self.opened:
            self.opened[thin_id] = self.ram.open(thin_id, THIN_BLOCKS)
        return self.opened[thin_id]

    def available(self) -> int:
        return DATA_BLOCKS - self.model.unavailable()

    def needed(self, thin_id: int, offset: int, length: int) -> int:
        device = self.model.running.devices[thin_id]
        blocks = range(offset // BLOCK, (offset + length - 1) // BLOCK + 1)
        return sum(device.needs_block(vblock) for vblock in blocks)

    def new_content(self, length: int) -> bytes:
        self.tag += 1
        return (self.tag.to_bytes(4, "little") * (length // 4 + 1))[:length]

    def has_devices(self) -> bool:
        return bool(self.ids)

    # The rules.

    @rule(new=IDS)
    def create_thin(self, new: int) -> None:
        if new in self.ids:
            return
        self.ram.message(f"create_thin {new}")
        self.model.running.devices[new] = ModelDevice(snapshotted_time=self.model.running.time)
        self.model.commit()

    @precondition(has_devices)
    @rule(new=IDS, pick=PICK)
    def create_snap(self, new: int, pick: int) -> None:
        if new in self.ids:
            return
        origin = self.ids[pick % len(self.ids)]
        self.ram.message(f"create_snap {new} {origin}")
        self.model.create_snap(new, origin)
        self.model.commit()

    @precondition(has_devices)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        gone = self.ids[pick % len(self.ids)]
        if gone in self.opened:
            self.ram.pool.close_thin(self.opened.pop(gone))
        self.ram.message(f"delete {gone}")
        del self.model.running.devices[gone]
        self.model.commit()

    @rule()
    def hold_or_release_the_metadata(self) -> None:
        running = self.model.running
        if running.held is None:
            self.ram.message("reserve_metadata_snap")
            running.held = running.copy().devices
        else:
            self.ram.message("release_metadata_snap")
            running.held = None
        self.model.commit()

    @precondition(has_devices)
    @rule(pick=PICK, offset=OFFSETS, length=LENGTHS)
    def write(self, pick: int, offset: int, length: int) -> None:
        thin_id = self.ids[pick % len(self.ids)]
        content = self.new_content(min(length, THIN_BLOCKS * BLOCK - offset))
        if self.ram.pool.mode is PoolMode.WRITE and self.needed(thin_id, offset, length) <= self.available():
            self.ram.write(self.device(thin_id), offset, content)
            self.model.write(thin_id, offset, content)
            return
        position = 0
        while position < len(content):
            piece = min(BLOCK - (offset + position) % BLOCK, len(content) - position)
            if not self.write_in_one_block(thin_id, offset + position, content[position : position + piece]):
                return
            position += piece

    def write_in_one_block(self, thin_id: int, offset: int, content: bytes) -> bool:
        """Write when space may run out; if the write commits, the model commits as well."""
        flushes, mode = self.ram.metadata.flushes, self.ram.pool.mode
        expected = not self.needed(thin_id, offset, len(content)) or (
            mode is PoolMode.WRITE and self.available() > 0
        )
        try:
            self.ram.write(self.device(thin_id), offset, content)
        except NoDataSpace:
            assert not expected
            return False
        finally:
            if self.ram.metadata.flushes != flushes:
                self.model.commit()
        assert expected
        self.model.write(thin_id, offset, content)
        return True

    @precondition(has_devices)
    @rule(pick=PICK, offset=OFFSETS, length=LENGTHS)
    def write_across_a_commit(self, pick: int, offset: int, length: int) -> None:
        thin_id = self.ids[pick % len(self.ids)]
        content = self.new_content(min(length, THIN_BLOCKS * BLOCK - offset))
        if (
            self.ram.pool.mode is not PoolMode.WRITE
            or self.needed(thin_id, offset, length) > self.available()
        ):
            return
        device = self.device(thin_id)
        before, model = self.ram.content(device), self.model.running.devices[thin_id]
        plan = device.plan_write(offset, len(content))
        if plan.remaps:
            self.ram.execute(plan.steps, content)
            for vblock, mapped in enumerate(blocks_of(before)):
                if model.needs_block(vblock):
                    assert self.ram.read(device, vblock * BLOCK, BLOCK) == mapped
            self.commit()
            device.complete(plan)
            known = self.model.running.cells()
            self.model.write(thin_id, offset, content)
            self.model.held_at_commit |= self.model.running.cells() - known
        else:
            self.ram.execute(plan.steps, content)
            self.model.write(thin_id, offset, content)

    @precondition(has_devices)
    @rule(pick=PICK, offset=OFFSETS, length=LENGTHS)
    def discard(self, pick: int, offset: int, length: int) -> None:
        thin_id = self.ids[pick % len(self.ids)]
        length = min(length, THIN_BLOCKS * BLOCK - offset)
        self.ram.discard(self.device(thin_id), offset, length)
        self.model.discard(thin_id, offset, length)

    @precondition(has_devices)
    @rule(pick=PICK, offset=OFFSETS, length=LENGTHS)
    def discard_across_a_commit(self, pick: int, offset: int, length: int) -> None:
        thin_id = self.ids[pick % len(self.ids)]
        length = min(length, THIN_BLOCKS * BLOCK - offset)
        device = self.device(thin_id)
        plan = device.plan_discard(offset, length)
        gone = self.model.discard(thin_id, offset, length)
        self.commit()
        self.ram.execute(plan.steps)
        self.the_checker_finds_the_leaks_of_crashes()
        device.complete(plan)
        if self.passes_down:
            self.model.held_at_commit.update(gone)

    @precondition(has_devices)
    @rule(pick=PICK)
    def flush(self, pick: int) -> None:
        thin_id = self.ids[pick % len(self.ids)]
        flushes, mode = self.ram.metadata.flushes, self.ram.pool.mode
        # A pool that allocates no blocks treats a flush as a write to block 0 (ThinDevice.plan_flush).
        mapped = 0 in self.model.running.devices[thin_id].mappings
        try:
            self.ram.flush(self.device(thin_id))
        except NoDataSpace:
            assert mode is not PoolMode.WRITE
            assert not mapped
            return
        assert mode is PoolMode.WRITE or mapped
        if self.ram.metadata.flushes != flushes:
            self.model.commit()

    @rule()
    def commit(self) -> None:
        self.ram.commit()
        self.model.commit()

    @precondition(has_devices)
    @rule(pick=PICK, offset=OFFSETS, planned=st.booleans())
    def crash(self, pick: int, offset: int, planned: bool) -> None:
        if planned and self.ram.pool.mode is PoolMode.WRITE and self.available():
            device = self.device(self.ids[pick % len(self.ids)])
            plan = device.plan_write(offset, 1)
            if plan.remaps:
                self.ram.execute(plan.steps, b"!")
        self.ram.crash()
        self.model.crash()
        self.opened.clear()

    # The invariants.

    @invariant()
    def every_device_has_the_model_s_content(self) -> None:
        assert self.ram.pool.thin_ids() == self.ids
        for thin_id in self.ids:
            device = self.device(thin_id)
            assert self.ram.content(device) == self.model.content(thin_id, THIN_BLOCKS)
            mapped = len(self.model.running.devices[thin_id].mappings)
            assert device.status().mapped_sectors == mapped

    @invariant()
    def the_pool_has_the_model_s_counts(self) -> None:
        assert self.ram.pool.blocks_used() == self.model.used()
        assert self.ram.available() == self.available()
        assert sum(count for _, count in self.ram.passed_down) == self.model.blocks_passed_down

    @invariant()
    def the_checker_finds_the_leaks_of_crashes(self) -> None:
        problems = self.ram.problems()
        assert len(problems) == len(self.model.leaked)
        assert all(problem.startswith("data block ") and "references" in problem for problem in problems)


class PoolMachineWithoutPassdown(PoolMachine):
    passes_down = False


@pytest.mark.parametrize("machine", [PoolMachine, PoolMachineWithoutPassdown])
def test_random_histories_agree_with_the_model(machine: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
