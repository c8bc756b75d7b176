"""Asks a running backing store over its control socket; ``store_server`` lists the commands."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Self

from fuse_backing.allocation import Extent
from fuse_backing.control import ControlClient
from fuse_backing.events import Histogram, LedgerEvent, Missed, Totals
from fuse_backing.faults import Fault, FaultPlan


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who serves what."""

    pid: int
    """The process id of the server."""
    directory: str
    """The directory that it serves."""
    mountpoint: str
    """The mountpoint of the store."""
    started: float
    """Seconds since the epoch."""
    passthrough: bool = False
    """Whether the kernel serves the data of files opened now, without the server."""
    passthrough_reason: str = ""
    """Why it does not."""
    io_flusher: bool = False
    """Whether its memory allocation never waits for writeback (PR_SET_IO_FLUSHER, needs CAP_SYS_RESOURCE)."""
    host: str = ""
    """The kind of file system that the directory is on, as ``ext4`` or ``btrfs``."""
    host_unit: int = 0
    """The least that a write makes it allocate, bytes."""
    host_remark: str = ""
    """What users must know of how it accounts for space, in a sentence; or empty."""
    freed_is_measured: bool = True
    """Whether freed bytes are measured; if not, they are estimated from what the files map."""

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``ping`` answers; an older server may leave out what has a default. Raises KeyError."""
        given = {
            field.name: value[field.name]
            for field in fields(cls)
            if field.name in value or field.default is MISSING
        }
        return cls(**given)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """One fault in force, how many requests it has counted, and how many of them it struck."""

    fault: Fault
    """The fault."""
    matched: int
    """Requests that the fault has counted."""
    struck: int
    """Requests that it has struck."""


class StoreClient:
    """Asks a running backing store. All methods raise ControlError."""

    def __init__(self, socket: Path) -> None:
        self.control = ControlClient(socket)

    async def ping(self) -> ServerInfo:
        """Return who answers."""
        return ServerInfo.from_json(await self.control.call("ping"))

    async def totals(self) -> Totals:
        """Return the sums over all events since the mount."""
        return Totals.from_json(await self.control.call("totals"))

    async def totals_by_file(self) -> dict[str, Totals]:
        """Return the same for each file name."""
        found = await self.control.call("totals_by_file")
        return {file: Totals.from_json(totals) for file, totals in found.items()}

    async def events(self, since: int = 0) -> list[LedgerEvent]:
        """Return the events that the server has kept and that are newer than sequence number *since*."""
        async with aclosing(self._items(since, follow=False)) as items:
            return [item async for item in items if isinstance(item, LedgerEvent)]

    def follow(self, since: int = 0) -> AsyncGenerator[LedgerEvent | Missed, None]:
        """Yield events newer than *since* as they come; ``Missed`` where the server had to drop some.

        Close it (``contextlib.aclosing``) when leaving it early.
        """
        return self._items(since, follow=True)

    async def counters(self) -> dict[str, int]:
        """Return ``data_requests`` (that the kernel sent instead of serving them) and ``served_natively``."""
        return {name: int(count) for name, count in (await self.control.call("counters")).items()}

    async def by_time(self) -> tuple[float, Histogram]:
        """Return when the ledger began, and successful events by seconds since."""
        found = await self.control.call("by_time")
        return float(found.pop("started")), Histogram.from_json(found)

    async def by_offset(self, file: str) -> Histogram:
        """Return where in *file* successful events fell; empty for an unknown file."""
        return Histogram.from_json(await self.control.call("by_offset", file=file))

    async def metrics(self) -> str:
        """Return the Prometheus text."""
        return str(await self.control.call("metrics"))

    async def faults(self) -> list[FaultCounts]:
        """Return the faults in force."""
        return [
            FaultCounts(Fault.from_json(each["fault"], "fault"), int(each["matched"]), int(each["struck"]))
            for each in await self.control.call("faults")
        ]

    async def set_faults(self, plan: FaultPlan) -> None:
        """Put *plan* in force instead of any other; an empty one clears."""
        await self.control.call("set_faults", plan=plan.to_json())

    async def map(self, file: str) -> tuple[int, list[Extent]]:
        """Return a file's size and its extents on the host, in order."""
        found: list[Extent] = []
        async with aclosing(self.control.stream("map", file=file)) as items:
            size = int((await anext(items))["size"])
            async for item in items:
                found += [Extent(int(start), int(end), bool(shared)) for start, end, shared in item]
        return size, found

    async def _items(self, since: int, *, follow: bool) -> AsyncGenerator[LedgerEvent | Missed, None]:
        async with aclosing(self.control.stream("events", since=since, follow=follow)) as items:
            async for item in items:
                yield Missed(item["missed"]) if "missed" in item else LedgerEvent.from_json(item)
