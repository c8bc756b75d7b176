"""A `Moment` has the figures of a running pool, and the bytes that it leaks on the host. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from fuse_backing.allocation import merged
from fuse_backing.events import LedgerEvent
from thinsim.ranges import Range, subtract, total
from thinsim.thin.mapping import Run
from thinsim.thin.status import PoolStatus


@dataclass(frozen=True, slots=True)
class HostView:
    """A `HostView` has the allocated ranges of the data device, and the bytes that the host holds for it."""

    ranges: Sequence[Range]
    held: int


@dataclass(frozen=True, slots=True)
class WatchedDevice:
    """A `WatchedDevice` is an active thin device; *mapped* is in bytes and includes shared data blocks."""

    name: str
    """The device-mapper name."""
    thin_id: int
    """The thin id."""
    mapped: int
    """Bytes of its mapped data blocks, shared ones included."""
    open: bool
    """True if the device is open."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A `Moment` has the figures of a pool and its host at *time*, in seconds since the epoch.

    All sizes are in bytes. *leaked* is None if the pool's mappings are unknown. *leaked_at_least* needs only
    counts: any bytes that the host has allocated beyond the pool's used blocks must be leaked.
    """

    time: float
    """Seconds since the epoch."""
    mode: str
    """The pool's mode."""
    size: int
    """Size of the data device."""
    used: int
    """Bytes in used data blocks."""
    host: int | None
    """Bytes that the host holds for the data file; null if the data is in no file that is known."""
    given_back: int | None
    """Bytes that hole punches have freed so far; null without a backing store."""
    punches: int | None
    """Hole punches so far; null without a backing store."""
    leaked: int | None
    """Bytes on the host that no mapping needs; null if that is not known. For a pool of the kernel, the state
    of its last commit counts."""
    leaked_at_least: int
    """The least that must have leaked, from counts alone."""
    devices: Sequence[WatchedDevice]
    """The active thin devices."""
    discards: Sequence[LedgerEvent] = ()
    """The newest discards and other events of the data file, oldest first, at most 12."""
    data_plane: str = ""
    """The server of requests to thin devices: C threads on a file, or Python and the reason."""
    discard_requests: int = 0
    """Discards that the data device has received since it exists (Documentation/block/stat.rst)."""
    discarded: int = 0
    """Bytes of these discards."""

    def to_json(self) -> dict[str, object]:
        """Return the moment as a JSON object."""
        return asdict(self)


def moment(
    now: float,
    status: PoolStatus,
    block_bytes: int,
    host: HostView | None,
    mappings: Mapping[int, Sequence[Run]] | None,
    devices: Sequence[WatchedDevice],
    *,
    given_back: int | None,
    punches: int | None,
    leaked: int | None = None,
    discards: Sequence[LedgerEvent] = (),
    data_plane: str = "",
    discard_requests: int = 0,
    discarded: int = 0,
) -> Moment:
    """Compute a `Moment`; *host* is the host's view of the data file, None if there is no such file.

    *leaked* counts if the *mappings* are not known.
    """
    ranges = () if host is None else host.ranges
    used, mapped = status.used_data * block_bytes, total(ranges)
    if mappings is not None and host is not None:
        leaked = total(subtract(ranges, mapped_ranges(mappings.values(), block_bytes)))
    return Moment(
        time=now,
        mode=status.mode,
        size=status.total_data * block_bytes,
        used=used,
        host=None if host is None else host.held,
        given_back=given_back,
        punches=punches,
        leaked=leaked,
        leaked_at_least=max(0, mapped - used),
        devices=devices,
        discards=discards,
        data_plane=data_plane,
        discard_requests=discard_requests,
        discarded=discarded,
    )


def mapped_ranges(mappings: Iterable[Sequence[Run]], block_bytes: int) -> list[Range]:
    """Return the byte ranges of the data device that at least one mapping covers."""
    return merged(
        (run.data_block * block_bytes, (run.data_block + run.length) * block_bytes)
        for run in sorted((run for runs in mappings for run in runs), key=lambda run: run.data_block)
    )
