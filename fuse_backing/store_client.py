"""`StoreClient` calls a running backing store over its control socket; `store_server` lists the commands."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Self

from fuse_backing.allocation import Extent
from fuse_backing.control import ControlClient
from fuse_backing.events import Histogram, LedgerEvent, Missed, Totals
from fuse_backing.faults import Fault, FaultPlan
from fuse_backing.fuse_uring import DEVICE
from fuse_backing.latency import OperationLatency
from fuse_backing.path_patterns import matching

_FEW_DESCRIPTORS = 4096
"""Below this limit, users are warned: the server keeps up to 1024 descriptors of files that are not open."""

_OWN_DESCRIPTORS = 40
"""Descriptors that the server needs for itself, at most."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A `ServerInfo` describes a running server: its process, its mount and the host's file system."""

    pid: int
    """The process id of the server."""
    directory: str
    """The directory that it serves."""
    mountpoint: str
    """The mountpoint of the store."""
    started: float
    """The start of the mount, in seconds since the epoch."""
    passthrough: bool = False
    """True if the kernel serves the data of files that are opened now, without the server."""
    passthrough_reason: str = ""
    """The reason why the kernel does not serve data."""
    transport: str = DEVICE.name
    """The way of the requests: ``/dev/fuse``, or ``io_uring``."""
    transport_reason: str = ""
    """The reason why it is not io_uring although that was wanted."""
    io_flusher: bool = False
    """True if the server never waits for writeback to get memory.

    This is PR_SET_IO_FLUSHER; it needs CAP_SYS_RESOURCE.
    """
    host: str = ""
    """The kind of file system that the directory is on, such as ``ext4`` or ``btrfs``."""
    host_unit: int = 0
    """The smallest number of bytes that a write makes the host allocate."""
    host_remark: str = ""
    """One sentence about how the host accounts for space, if users must know it; otherwise empty."""
    freed_is_measured: bool = True
    """True if freed bytes are measured, False if they are estimated from the maps of the files."""
    overwrites_free: bool = False
    """True if an overwrite can free bytes on the host, for which the ledger has no event."""
    allocates: bool = True
    """True if the store allocates space for fallocate(2), False if it refuses that with EOPNOTSUPP."""
    file_handles: bool = True
    """True if the server opens known files by their handles, False if each holds a descriptor."""
    most_descriptors: int = 0
    """The largest number of descriptors that the server may have; 0 if an older server does not report it."""

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read the result of ``ping``; an older server may omit fields with a default. Raises KeyError."""
        given = {
            field.name: value[field.name]
            for field in fields(cls)
            if field.name in value or field.default is MISSING
        }
        return cls(**given)  # type: ignore[arg-type]

    def remarks(self) -> Iterator[str]:
        """Yield sentences that the users of this store must know, about the host and about limits."""
        if self.host_remark:
            yield self.host_remark
        if self.overwrites_free:
            yield (
                f"{self.host} writes data to a new place, so an overwrite frees bytes as well; the ledger "
                "has no event for that (after chattr +C on the directory, new files are overwritten in place)"
            )
        if not self.allocates:
            yield (
                f"{self.host} does not show space that was allocated and never written, so fallocate(2) "
                "without a hole punch fails here (EOPNOTSUPP)"
            )
        if not self.file_handles:
            yield (
                "files cannot be opened by handles here, so each file that the kernel remembers holds one of "
                f"the server's {self.most_descriptors} descriptors"
            )
        if 0 < self.most_descriptors < _FEW_DESCRIPTORS:
            yield (
                f"the limit of {self.most_descriptors} descriptors allows about "
                f"{max(self.most_descriptors - _OWN_DESCRIPTORS, 0) // 2} open files; raise it (ulimit -Hn, "
                "LimitNOFILE=) and mount again"
            )
        if self.transport_reason:
            yield f"no FUSE over io_uring: {self.transport_reason}"


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """A `FaultCounts` has one active fault, and the numbers of requests that it has counted and struck."""

    fault: Fault
    """The fault."""
    matched: int
    """Requests that the fault has counted."""
    struck: int
    """Requests that it has struck."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """A `StoreCounts` has the sums over the events of a store since a moment."""

    since: float
    """The moment in seconds since the epoch: the last reset, or the mount."""
    read: float
    """The time of the reading, in seconds since the epoch."""
    totals: Totals
    """The sums over all files."""
    files: dict[str, Totals]
    """The sums of each file that has had events since, by path."""

    def of_files(self, pattern: str) -> "StoreCounts":
        """Return the sums of the files that *pattern* matches."""
        files = {path: self.files[path] for path in matching(self.files, pattern)}
        return StoreCounts(self.since, self.read, sum(files.values(), Totals()), files)

    def to_json(self) -> dict[str, object]:
        """Return the sums as a JSON object."""
        by_file = {file: each.to_json() for file, each in self.files.items()}
        return {"since": self.since, "read": self.read, "totals": self.totals.to_json(), "files": by_file}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read the object that ``to_json`` returned. Raises KeyError."""
        files = {file: Totals.from_json(each) for file, each in value["files"].items()}
        return cls(float(value["since"]), float(value["read"]), Totals.from_json(value["totals"]), files)


@dataclass(frozen=True, slots=True)
class StoreLatencies:
    """A `StoreLatencies` has the latencies of a store's requests since a moment."""

    since: float
    """The moment in seconds since the epoch: the last reset, or the mount."""
    read: float
    """The time of the reading, in seconds since the epoch."""
    operations: dict[str, OperationLatency]
    """The latencies of each operation that has had requests since, by name."""


class StoreClient:
    """A `StoreClient` calls a running backing store. All methods raise ControlError."""

    def __init__(self, socket: Path) -> None:
        self.control = ControlClient(socket)

    async def ping(self) -> ServerInfo:
        """Return the description of the server that answers."""
        return ServerInfo.from_json(await self.control.call("ping"))

    async def totals(self) -> Totals:
        """Return the sums over all events since the mount."""
        return Totals.from_json(await self.control.call("totals"))

    async def totals_by_file(self) -> dict[str, Totals]:
        """Return the sums since the mount for each file, by path."""
        found = await self.control.call("totals_by_file")
        return {file: Totals.from_json(totals) for file, totals in found.items()}

    async def statistics(self, *, since_mount: bool = False) -> StoreCounts:
        """Return the sums since the last reset, or since the mount if *since_mount* or without a reset."""
        since = "mount" if since_mount else "reset"
        return StoreCounts.from_json(await self.control.call("statistics", since=since))

    async def latencies(self, *, since_mount: bool = False) -> StoreLatencies:
        """Return the latencies since the last reset, or since the mount if *since_mount* or without a reset.

        ENOTCONN if the store was unmounted: the server then measures none.
        """
        found = await self.control.call("latencies", since="mount" if since_mount else "reset")
        operations = {name: OperationLatency.from_json(each) for name, each in found["operations"].items()}
        return StoreLatencies(float(found["since"]), float(found["read"]), operations)

    async def reset(self) -> float:
        """Let ``statistics`` and ``latencies`` count from now on; return this moment, in seconds.

        Everything else stays: events, ``totals``, histograms and metrics are those since the mount.
        """
        return float(await self.control.call("reset"))

    async def files(self) -> list[str]:
        """Return the paths of the files that the store has now."""
        return [str(name) for name in await self.control.call("files")]

    async def find_file(self, file: str) -> tuple[bool, int]:
        """Return whether the store has *file* now, and the number of its events in the ledger.

        ENOENT if neither the store nor its ledger has it; the message names the nearest file.
        """
        found = await self.control.call("find_file", file=file)
        return bool(found["served"]), int(found["events"])

    async def events(self, since: int = 0) -> list[LedgerEvent]:
        """Return the kept events that are newer than sequence number *since*."""
        async with aclosing(self._items(since, follow=False)) as items:
            return [item async for item in items if isinstance(item, LedgerEvent)]

    def follow(self, since: int = 0) -> AsyncGenerator[LedgerEvent | Missed, None]:
        """Yield events newer than *since* as they are recorded; ``Missed`` in place of events that were lost.

        Close the generator (``contextlib.aclosing``) to end early.
        """
        return self._items(since, follow=True)

    async def counters(self) -> dict[str, int]:
        """Return the number of data requests that the kernel sent, and of requests served without Python.

        The keys are ``data_requests`` and ``served_natively``.
        """
        return {name: int(count) for name, count in (await self.control.call("counters")).items()}

    async def by_time(self) -> tuple[float, Histogram]:
        """Return the ledger's start (seconds since the epoch), and successful events by seconds since."""
        found = await self.control.call("by_time")
        return float(found.pop("started")), Histogram.from_json(found)

    async def by_offset(self, file: str) -> Histogram:
        """Return the successful events by offset in the file at path *file*, in bytes.

        The histogram is empty for an unknown file.
        """
        return Histogram.from_json(await self.control.call("by_offset", file=file))

    async def metrics(self) -> str:
        """Return the Prometheus text."""
        return str(await self.control.call("metrics"))

    async def faults(self) -> list[FaultCounts]:
        """Return the active faults with their counts."""
        return [
            FaultCounts(Fault.from_json(each["fault"], "fault"), int(each["matched"]), int(each["struck"]))
            for each in await self.control.call("faults")
        ]

    async def set_faults(self, plan: FaultPlan) -> None:
        """Replace the active plan with *plan*; an empty one removes all faults."""
        await self.control.call("set_faults", plan=plan.to_json())

    async def map(self, file: str) -> tuple[int, list[Extent]]:
        """Return a file's size in bytes and its extents on the host, in order."""
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
