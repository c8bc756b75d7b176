"""An `AuditedPool` is the document of an audit: a pool, its thin devices, and what is wrong. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from thinsim.node.stack.report import HeightsReport
from thinsim.thin.status import PoolStatus


class FindingKind(StrEnum):
    """A `FindingKind` is how bad a finding is."""

    NOTE = "note"
    """The finding costs nothing yet, or explains another one."""
    LEAK = "leak"
    """The host, or the pool, holds space that nobody needs."""
    DISAGREEMENT = "disagreement"
    """The pool and containerd's databases disagree, or the pool cannot be used."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """An `AuditFinding` is one thing that is wrong, or worth to know."""

    kind: FindingKind
    """The kind of the finding."""
    text: str
    """The finding in words."""
    fix: str = ""
    """The command or act that ends it; empty if there is none."""
    bytes: int = 0
    """The space that it costs, in bytes."""


@dataclass(frozen=True, slots=True)
class AuditedThin:
    """An `AuditedThin` is a thin device of the pool, or one that containerd has a record of."""

    thin_id: int
    """The thin id."""
    device: str
    """The name of its device in containerd's records or in the device-mapper; empty if nobody names it."""
    in_pool: bool
    """True if the pool has the thin id."""
    active: bool
    """True if the device-mapper has a device for it."""
    exclusive: int
    """Bytes in data blocks that only this device maps."""
    shared: int
    """Bytes in data blocks that other devices map as well."""
    held: int
    """Bytes that the host holds for the exclusive blocks."""
    snapshot: str = ""
    """The snapshot's key in the snapshotter; empty if no snapshot has the device."""
    kind: str = ""
    """The snapshot's kind: Active, Committed or View."""
    names: Sequence[str] = ()
    """The keys that namespaces have for the snapshot, each as NAMESPACE/KEY."""
    holders: Sequence[str] = ()
    """The images, containers and leases that need the snapshot."""
    need: str = ""
    """The reason why the snapshot exists: held, parent, collectible or unreferenced."""
    state: str = ""
    """The state of the device in containerd's records."""
    users: Sequence[str] = ()
    """The mounts and processes that use the device."""


@dataclass(frozen=True, slots=True)
class FormerOwner:
    """A `FormerOwner` is a thin id that mapped freed blocks last, as far as old metadata still shows it.

    Old metadata is what the pool has not yet written over, so this is no certainty.
    """

    thin_id: int | None
    """The thin id; null for the blocks of which nothing is known."""
    in_pool: bool
    """True if the pool has the thin id now: the device discarded the blocks, or the id was used again."""
    devices: Sequence[str]
    """The names that containerd's records have for the thin id, or had; several if it was used again."""
    snapshots: Sequence[str]
    """The keys of the snapshots that had these devices."""
    holders: Sequence[str]
    """The images and containers that needed these snapshots."""
    blocks: int
    """The number of data blocks."""
    bytes: int
    """Bytes that the host holds for them; their size if that is not known."""


@dataclass(frozen=True, slots=True)
class AuditedPool:
    """An `AuditedPool` is the result of an audit; all sizes are in bytes."""

    name: str
    """The name of the pool, or the path of its metadata."""
    device_mapper: str
    """`kernel`, `emulated`, or `offline` for a file."""
    block_bytes: int
    """The size of a data block."""
    status: PoolStatus | None
    """The pool's status line; null for a file."""
    data_device: str
    """The data device; empty for a file without data."""
    metadata_device: str
    """The metadata device or file."""
    file: str
    """The file below the data device; empty if none is known."""
    held: int | None
    """Bytes that the host holds for that file; null if none is known."""
    used: int
    """Bytes in data blocks that a mapping names."""
    reclaimable: int | None
    """Bytes that the host holds for free blocks, which `thinsim reclaim` frees; null if not known."""
    reclaimable_runs: int
    """The number of runs in which they are."""
    unmapped: str
    """The reason why the host's part is not known; empty if it is."""
    containerd: str
    """containerd's root directory, if its databases were read; otherwise empty."""
    stack: HeightsReport | None
    """The heights from the data device down, with the discards that live; null for a file."""
    devices: Sequence[AuditedThin]
    """The thin devices, those of the pool first, in the order of their thin ids."""
    findings: Sequence[AuditFinding]
    """The findings, the worst first."""
    former_owners: Sequence[FormerOwner] = ()
    """The devices that mapped the reclaimable blocks last, the largest first, then the unknown rest. If the
    host's part is not known, those of all free blocks, without a rest."""

    def has(self, kind: FindingKind) -> bool:
        """Return whether there is a finding of *kind*."""
        return any(each.kind is kind for each in self.findings)

    def to_json(self) -> dict[str, object]:
        """Return the audit as a JSON object."""
        return {**asdict(self), "stack": None if self.stack is None else self.stack.to_json()}
