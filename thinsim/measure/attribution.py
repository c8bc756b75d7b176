"""`LeakBook` finds the owner of every leaked byte: snapshot, thin id, operation and reason. Pure.

A block leaks when the pool no longer maps it and the host still has it allocated. Its owner is the thin
device that mapped it last. To find the owner, the book compares the mappings before and after each step
with the snapshotter's own events of that step.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from thinsim.errors import InvariantError
from thinsim.ranges import Range, bytes_per_block
from thinsim.snapshotter.events import DeviceEvent, DeviceEventKind, DiscardSkipped
from thinsim.thin.mapping import Run


class LeakReason(StrEnum):
    """A `LeakReason` explains why a freed block stayed allocated, where the snapshotter does not know."""

    NOT_PASSED_DOWN = "discarded, but the pool did not pass it down: passdown is off"
    SHARED = "shared with another thin device when it was discarded"
    KEPT_BELOW = "discarded and passed down, but the store below kept it"
    UNMAPPED = "unmapped without a removal (overwritten or discarded inside the file system)"


def reason_words() -> dict[str, str]:
    """Return the short name of every reason by its text: ``off``, ``not_active``, ``shared``."""
    return {str(reason): reason.name.lower() for kind in (DiscardSkipped, LeakReason) for reason in kind}


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """An `Owner` is the snapshot whose operation lost a block, with the reason."""

    snapshot: str
    """The key or name of the snapshot; empty if no removal freed the block."""
    thin_id: int
    """The thin id that mapped the block last."""
    operation: str
    """The step that freed the block."""
    reason: str
    """The reason, as a sentence."""


@dataclass(frozen=True, slots=True)
class LeakOrigin:
    """A `LeakOrigin` counts the leaked bytes in the blocks that one step took from the pool."""

    step: str
    """The step that took the blocks, for the last time before they leaked."""
    bytes: int
    """Bytes that the host has allocated in them."""
    files: int | None
    """Bytes of files that the steps of this name wrote: 0 for none, null if their size is unknown."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A `Leak` counts the bytes of one owner that are allocated on the host and that no mapping needs.

    The bytes lie in *blocks* data blocks.
    """

    owner: Owner
    """The snapshot, thin id, step and reason."""
    blocks: int
    """Data blocks that the host has allocated, in whole or in part."""
    bytes: int
    """Bytes that the host has allocated in them."""
    origins: tuple[LeakOrigin, ...] = ()
    """The same bytes by the step that took their blocks, largest first; empty if nobody measured it."""


class LeakBook:
    """A `LeakBook` follows a pool's mappings step by step and knows the last owner of each free block."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._mapped: dict[int, set[int]] = {}
        self._last_owner: dict[int, Owner] = {}
        self._taken_in: dict[int, str] = {}
        """The step that mapped each block, for the last time it was free before."""
        self._files: dict[str, int | None] = {}
        """The bytes of files that the steps of each name wrote."""

    def step(
        self,
        operation: str,
        mappings: Mapping[int, Sequence[Run]],
        events: Iterable[DeviceEvent],
        *,
        passdown: bool,
        files: int | None = 0,
    ) -> int:
        """Record the mappings after a step and its events; return the number of data blocks that it freed.

        *files* is the number of bytes of the files that the step wrote, None if it is unknown.
        """
        before = self._files.get(operation, 0)
        self._files[operation] = None if before is None or files is None else before + files
        now = _owners_by_block(mappings)
        reasons = _reasons(events, passdown=passdown)
        freed = 0
        for block, thin_ids in self._mapped.items():
            if block in now:
                continue
            freed += 1
            # If several devices shared the block, the one that this step removed is the owner.
            removed = sorted(thin_ids & reasons.keys()) or sorted(thin_ids)
            snapshot, reason = reasons.get(removed[0], ("", LeakReason.UNMAPPED))
            if reason == LeakReason.SHARED and len(thin_ids) == 1:
                reason = LeakReason.KEPT_BELOW
            self._last_owner[block] = Owner(snapshot, removed[0], operation, reason)
        for block in now.keys() & self._last_owner.keys():
            del self._last_owner[block]
        for block in now.keys() - self._mapped.keys():
            self._taken_in[block] = operation
        self._mapped = now
        return freed

    def leaks(self, allocated: Iterable[Range], *, rounded: bool = False) -> list[Leak]:
        """Return the leaks in the host's *allocated* ranges, largest first.

        InvariantError for an allocated block that no device ever mapped: a leak without an owner is a fault
        of the measurement. With *rounded*, such blocks are left out: the host rounds its ranges up.
        """
        blocks: Counter[Owner] = Counter()
        lost: dict[Owner, Counter[str]] = {}
        for block, count, owner in self._leaked(allocated, rounded=rounded):
            blocks[owner] += 1
            lost.setdefault(owner, Counter())[self._taken_in[block]] += count
        return sorted(
            (Leak(owner, blocks[owner], of.total(), self._origins(of)) for owner, of in lost.items()),
            key=lambda leak: (-leak.bytes, leak.owner),
        )

    def _origins(self, lost: Mapping[str, int]) -> tuple[LeakOrigin, ...]:
        steps = sorted(lost.items(), key=lambda each: (-each[1], each[0]))
        return tuple(LeakOrigin(step, count, self._files[step]) for step, count in steps)

    def _leaked(self, allocated: Iterable[Range], *, rounded: bool) -> Iterator[tuple[int, int, Owner]]:
        """Yield each leaked block with its bytes on the host and its owner; see ``leaks``."""
        for block, count in bytes_per_block(allocated, self._block_bytes):
            if block in self._mapped:
                continue
            owner = self._last_owner.get(block)
            if owner is not None:
                yield block, count, owner
            elif not rounded:
                raise InvariantError(
                    f"data block {block} has {count} bytes on the host, but no thin device ever mapped it"
                )

    def needed(self, allocated: Iterable[Range]) -> int:
        """Return the number of bytes of the host's *allocated* ranges in blocks that the pool maps."""
        return sum(
            count for block, count in bytes_per_block(allocated, self._block_bytes) if block in self._mapped
        )

    @property
    def mapped_blocks(self) -> int:
        """Return the number of data blocks that the pool maps."""
        return len(self._mapped)


def _owners_by_block(mappings: Mapping[int, Sequence[Run]]) -> dict[int, set[int]]:
    owners: dict[int, set[int]] = {}
    for thin_id, runs in mappings.items():
        for run in runs:
            for block in range(run.data_block, run.data_block + run.length):
                owners.setdefault(block, set()).add(thin_id)
    return owners


def _reasons(events: Iterable[DeviceEvent], *, passdown: bool) -> dict[int, tuple[str, str]]:
    """Return the snapshot and the reason for each removed thin id."""
    reasons: dict[int, tuple[str, str]] = {}
    for event in events:
        if event.kind is DeviceEventKind.DISCARD_SKIPPED:
            reasons[event.thin_id] = (event.snapshot, str(event.detail))
        elif event.kind is DeviceEventKind.DISCARDED:
            reason = LeakReason.SHARED if passdown else LeakReason.NOT_PASSED_DOWN
            reasons[event.thin_id] = (event.snapshot, reason)
    return reasons
