"""Gives every leaked byte its owner: which snapshot, thin id and operation lost it, and why.

Pure.

A block leaks when the pool no longer maps it and the host still has it allocated. The owner is who
gave it up last: block by block, mappings before and after each step are compared with what the
snapshotter says it did in that step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from thinsim.errors import InvariantError
from thinsim.ranges import Range, bytes_per_block
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped
from thinsim.thin.mapping import Run


class LeakReason(StrEnum):
    """Why a freed block stayed allocated on the host, for what the snapshotter itself can't say."""

    NOT_PASSED_DOWN = "discarded, but the pool did not pass it down: passdown is off"
    SHARED = "shared with another thin device when it was discarded"
    KEPT_BELOW = "discarded and passed down, but the store below kept it"
    UNMAPPED = "unmapped without a removal (overwritten or discarded inside the file system)"


def reason_words() -> dict[str, str]:
    """Return the short word of every reason, by the reason's text: ``off``, ``not_active``, ``shared``."""
    return {str(reason): reason.name.lower() for kind in (DiscardSkipped, LeakReason) for reason in kind}


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Who lost a block."""

    snapshot: str
    """The key or name of the snapshot; empty if no removal freed the block."""
    thin_id: int
    """The thin id that mapped the block last."""
    operation: str
    """The step that freed the block."""
    reason: str
    """The reason, as a sentence."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Bytes allocated on the host that no mapping needs, in *blocks* data blocks, by owner."""

    owner: Owner
    """The snapshot, thin id, step and reason."""
    blocks: int
    """Data blocks that the host has allocated, in whole or in part."""
    bytes: int
    """Bytes that the host has allocated in them."""


class LeakBook:
    """Follows the mappings of one pool step by step and knows who gave each free block up."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._mapped: dict[int, set[int]] = {}
        self._given_up: dict[int, Owner] = {}

    def step(
        self,
        operation: str,
        mappings: Mapping[int, Sequence[Run]],
        events: Iterable[DeviceEvent],
        *,
        passdown: bool,
    ) -> int:
        """Take in the mappings after a step and what was done in it; return how many blocks it freed."""
        now = _owners_by_block(mappings)
        reasons = _reasons(events, passdown=passdown)
        freed = 0
        for block, thin_ids in self._mapped.items():
            if block in now:
                continue
            freed += 1
            # Of several that shared it, the one this step removed gave it up.
            removed = sorted(thin_ids & reasons.keys()) or sorted(thin_ids)
            snapshot, reason = reasons.get(removed[0], ("", LeakReason.UNMAPPED))
            if reason == LeakReason.SHARED and len(thin_ids) == 1:
                reason = LeakReason.KEPT_BELOW
            self._given_up[block] = Owner(snapshot, removed[0], operation, reason)
        for block in now.keys() & self._given_up.keys():
            del self._given_up[block]
        self._mapped = now
        return freed

    def leaks(self, allocated: Iterable[Range], *, rounded: bool = False) -> list[Leak]:
        """Return the leaks in the host's *allocated* ranges, largest first.

        InvariantError for an allocated block that no device ever gave up: a leak without an owner would
        be a fault of the measurement. Not so where the host's ranges are *rounded* to more than was written.
        """
        blocks: Counter[Owner] = Counter()
        lost: Counter[Owner] = Counter()
        for block, count in bytes_per_block(allocated, self._block_bytes):
            if block in self._mapped:
                continue
            owner = self._given_up.get(block)
            if owner is None and rounded:
                continue
            if owner is None:
                raise InvariantError(
                    f"data block {block} has {count} bytes on the host, and no thin device ever had it"
                )
            blocks[owner] += 1
            lost[owner] += count
        return sorted(
            (Leak(owner, blocks[owner], lost[owner]) for owner in lost),
            key=lambda leak: (-leak.bytes, leak.owner),
        )

    def needed(self, allocated: Iterable[Range]) -> int:
        """Return how many bytes of the host's *allocated* ranges lie in blocks that the pool maps."""
        return sum(
            count for block, count in bytes_per_block(allocated, self._block_bytes) if block in self._mapped
        )

    @property
    def mapped_blocks(self) -> int:
        """How many data blocks the pool maps."""
        return len(self._mapped)


def _owners_by_block(mappings: Mapping[int, Sequence[Run]]) -> dict[int, set[int]]:
    owners: dict[int, set[int]] = {}
    for thin_id, runs in mappings.items():
        for run in runs:
            for block in range(run.data_block, run.data_block + run.length):
                owners.setdefault(block, set()).add(thin_id)
    return owners


def _reasons(events: Iterable[DeviceEvent], *, passdown: bool) -> dict[int, tuple[str, str]]:
    """Return (snapshot, reason) per thin id that was removed."""
    reasons: dict[int, tuple[str, str]] = {}
    for event in events:
        if event.kind is DeviceEventKind.DISCARD_SKIPPED:
            reasons[event.thin_id] = (event.snapshot, str(event.detail))
        elif event.kind is DeviceEventKind.DISCARDED:
            reason = LeakReason.SHARED if passdown else LeakReason.NOT_PASSED_DOWN
            reasons[event.thin_id] = (event.snapshot, reason)
    return reasons
