"""The commands of a backing store's control socket: what the server answers, and a typed client for it.

====================  ========================  ============================================================
command               arguments                 result
====================  ========================  ============================================================
``ping``                                        ``pid``, ``directory``, ``mountpoint``, ``started``
``totals``                                      ``Totals``
``totals_by_file``                              an object of ``Totals``, by file name
``counters``                                    ``data_requests``, ``served_natively``
``by_time``                                     ``started``, and a ``Histogram`` of seconds since
``by_offset``         ``file``                  a ``Histogram`` of bytes
``events`` (stream)   ``since``, ``follow``     ``PunchEvent`` items; ``{"missed": n}`` where events were lost
====================  ========================  ============================================================
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio

from fuse_backing.control import Arguments, ControlClient, ControlServer
from fuse_backing.ledger import Histogram, Ledger, Missed, PunchEvent, Totals

if TYPE_CHECKING:
    from fuse_backing.shortcut import Shortcut


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

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``ping`` answers. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


def store_server(ledger: Ledger, info: ServerInfo, shortcut: "Shortcut") -> ControlServer:
    """Return a server that answers about *ledger*, and who serves what."""

    async def ping(arguments: Arguments) -> object:
        return asdict(replace(info, passthrough=shortcut.passthrough, passthrough_reason=shortcut.reason))

    async def counters(arguments: Arguments) -> object:
        return shortcut.counters()

    async def by_time(arguments: Arguments) -> object:
        started, found = ledger.by_time()
        return {"started": started, **asdict(found)}

    async def by_offset(arguments: Arguments) -> object:
        return asdict(ledger.by_offset(str(arguments.get("file"))))

    async def totals(arguments: Arguments) -> object:
        return ledger.totals.to_json()

    async def totals_by_file(arguments: Arguments) -> object:
        return {file: totals.to_json() for file, totals in ledger.totals_by_file.items()}

    async def events(arguments: Arguments) -> AsyncGenerator[object, None]:
        since = arguments.get("since", 0)
        if not isinstance(since, int) or since < 0:
            raise ValueError(f"since must be a sequence number, not {since!r}")
        last = None if arguments.get("follow", False) else ledger.last_sequence
        if last is not None and since >= last:
            return
        async with aclosing(ledger.subscribe(since)) as items:
            async for item in items:
                yield {"missed": item.count} if isinstance(item, Missed) else item.to_json()
                if last is not None and isinstance(item, PunchEvent) and item.sequence >= last:
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
        },
        {"events": events},
    )


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

    async def events(self, since: int = 0) -> list[PunchEvent]:
        """Return the events that the server has kept and that are newer than sequence number *since*."""
        async with aclosing(self._items(since, follow=False)) as items:
            return [item async for item in items if isinstance(item, PunchEvent)]

    def follow(self, since: int = 0) -> AsyncGenerator[PunchEvent | Missed, None]:
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

    async def _items(self, since: int, *, follow: bool) -> AsyncGenerator[PunchEvent | Missed, None]:
        async with aclosing(self.control.stream("events", since=since, follow=follow)) as items:
            async for item in items:
                yield Missed(item["missed"]) if "missed" in item else PunchEvent.from_json(item)
