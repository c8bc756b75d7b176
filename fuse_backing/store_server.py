"""The commands of a backing store's control socket: what the server answers, and a typed client for it.

====================  ========================  ============================================================
command               arguments                 result
====================  ========================  ============================================================
``ping``                                        ``ServerInfo``
``totals``                                      ``Totals``
``totals_by_file``                              an object of ``Totals``, by file name
``counters``                                    ``data_requests``, ``served_natively``
``by_time``                                     ``started``, and a ``Histogram`` of seconds since
``by_offset``         ``file``                  a ``Histogram`` of bytes
``metrics``                                     the Prometheus text
``faults``                                      a list of objects: ``fault``, ``matched``, ``struck``
``set_faults``        ``plan``: list of faults  null; an empty plan clears
``events`` (stream)   ``since``, ``follow``     ``LedgerEvent`` items; ``{"missed": n}`` for lost ones
``map`` (stream)      ``file``                  ``{"size": n}``, then lists of ``[start, end, shared]``
====================  ========================  ============================================================

Sizes and offsets are bytes, times seconds. ``docs/backing-store.md`` has the protocol below this.
"""

import errno
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio

from fuse_backing import metrics
from fuse_backing.allocation import Extent, first_extents
from fuse_backing.control import Arguments, ControlClient, ControlServer
from fuse_backing.errors import ControlError
from fuse_backing.faults import Fault, FaultPlan
from fuse_backing.ledger import Histogram, Ledger, LedgerEvent, Missed, Totals

if TYPE_CHECKING:
    from fuse_backing.filesystem import BackingFileSystem
    from fuse_backing.injection import Injector
    from fuse_backing.shortcut import Shortcut

_EXTENTS = 1024


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who serves what."""

    pid: int
    directory: str
    mountpoint: str
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
    matched: int
    struck: int


def store_server(
    ledger: Ledger,
    info: ServerInfo,
    shortcut: "Shortcut",
    injector: "Injector",
    files: "BackingFileSystem",
) -> ControlServer:
    """Return a server that answers about *ledger*, who serves what, and the faults in force."""

    def who() -> ServerInfo:
        return replace(info, passthrough=shortcut.passthrough, passthrough_reason=shortcut.reason)

    async def ping(arguments: Arguments) -> object:
        return asdict(who())

    async def show_metrics(arguments: Arguments) -> object:
        return metrics.exposition(who(), ledger.totals_by_file, shortcut.counters())

    async def faults(arguments: Arguments) -> object:
        plan = injector.plan
        return [
            {"fault": fault.to_json(), "matched": matched, "struck": struck}
            for fault, matched, struck in zip(plan.faults, plan.matched, plan.struck, strict=True)
        ]

    async def set_faults(arguments: Arguments) -> object:
        plan = arguments.get("plan")
        injector.set(FaultPlan() if plan == [] else FaultPlan.from_json(plan))
        return None

    async def extents(arguments: Arguments) -> AsyncGenerator[object, None]:
        fd = files.open_host_file(_file_name(arguments))
        try:
            yield {"size": os.fstat(fd).st_size}
            position = 0
            while True:
                found = await trio.to_thread.run_sync(first_extents, fd, position, _EXTENTS)
                yield found
                if len(found) < _EXTENTS:
                    return
                position = found[-1].end
        finally:
            os.close(fd)

    async def counters(arguments: Arguments) -> object:
        return shortcut.counters()

    async def by_time(arguments: Arguments) -> object:
        started, found = ledger.by_time()
        return {"started": started, **asdict(found)}

    async def by_offset(arguments: Arguments) -> object:
        return asdict(ledger.by_offset(_file_name(arguments)))

    async def totals(arguments: Arguments) -> object:
        return ledger.totals.to_json()

    async def totals_by_file(arguments: Arguments) -> object:
        return {file: totals.to_json() for file, totals in ledger.totals_by_file.items()}

    async def events(arguments: Arguments) -> AsyncGenerator[object, None]:
        since = arguments.get("since", 0)
        if not isinstance(since, int) or not 0 <= since < 1 << 64:
            raise ControlError(f"'since' must be a sequence number, not {since!r}", errno.EINVAL)
        last = None if arguments.get("follow", False) else ledger.last_sequence
        if last is not None and since >= last:
            return
        async with aclosing(ledger.subscribe(since)) as items:
            async for item in items:
                yield {"missed": item.count} if isinstance(item, Missed) else item.to_json()
                if last is not None and isinstance(item, LedgerEvent) and item.sequence >= last:
                    return
                # A long listing must not keep the data path waiting.
                await trio.lowlevel.checkpoint()

    return ControlServer(
        {
            "ping": ping,
            "totals": totals,
            "counters": counters,
            "by_time": by_time,
            "by_offset": by_offset,
            "totals_by_file": totals_by_file,
            "metrics": show_metrics,
            "faults": faults,
            "set_faults": set_faults,
        },
        {"events": events, "map": extents},
    )


def _file_name(arguments: Arguments) -> str:
    """Return the argument ``file``; what no file can be called is the caller's error, not a bug."""
    name = arguments.get("file")
    try:
        if isinstance(name, str) and os.fsencode(name):
            return name
    except UnicodeEncodeError:
        pass
    raise ControlError(f"'file' must be a file's name, not {name!r}", errno.EINVAL)


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
