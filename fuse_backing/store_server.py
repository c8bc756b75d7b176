"""`store_server` returns the control server of a backing store, which answers these commands.

====================  ========================  ============================================================
command               arguments                 result
====================  ========================  ============================================================
``ping``                                        ``ServerInfo``
``totals``                                      ``Totals``
``totals_by_file``                              an object of ``Totals``, by the file's path
``statistics``        ``since``                 ``StoreCounts``
``latencies``         ``since``                 ``since``, ``read``; ``operations``: latencies by name
``reset``                                       the moment from which these two commands count
``counters``                                    ``data_requests``, ``served_natively``
``by_time``                                     ``started``, and a ``Histogram`` of seconds since
``by_offset``         ``file``                  a ``Histogram`` of bytes
``files``                                       the paths of the files that the store has now
``find_file``         ``file``                  ``served``, a boolean; ``events``, their number
``metrics``                                     the Prometheus text
``faults``                                      a list of objects: ``fault``, ``matched``, ``struck``
``set_faults``        ``plan``: list of faults  null; an empty plan removes all faults
``events`` (stream)   ``since``, ``follow``     ``LedgerEvent`` items; ``{"missed": n}`` for lost ones
``map`` (stream)      ``file``                  ``{"size": n}``, then lists of ``[start, end, shared]``
====================  ========================  ============================================================

``file`` is a path in the store. ``since`` is ``reset``, the default, or ``mount``. Sizes and offsets are
bytes; times are seconds. ``control`` describes the protocol that carries the commands; ``store_client`` is
the client.
"""

import errno
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace

import trio

from fuse_backing import metrics
from fuse_backing.control import Arguments, ControlServer
from fuse_backing.count_commands import CountCommands
from fuse_backing.errors import ControlError
from fuse_backing.events import LedgerEvent, Missed
from fuse_backing.faults import FaultPlan
from fuse_backing.file_commands import FileCommands
from fuse_backing.filesystem import BackingFileSystem
from fuse_backing.injection import Injector
from fuse_backing.ledger import Ledger
from fuse_backing.shortcut import Shortcut
from fuse_backing.store_client import ServerInfo


def store_server(
    ledger: Ledger,
    info: ServerInfo,
    shortcut: Shortcut,
    injector: Injector,
    files: BackingFileSystem,
) -> ControlServer:
    """Return a server that answers about *ledger*, the mount (*info*) and the active faults."""

    counts = CountCommands(ledger, shortcut, info.started)
    of_files = FileCommands(files, ledger, info.mountpoint)

    def who() -> ServerInfo:
        return replace(
            info,
            passthrough=shortcut.passthrough,
            passthrough_reason=shortcut.reason,
            transport=shortcut.transport.name,
            transport_reason=shortcut.transport.reason,
        )

    async def ping(arguments: Arguments) -> object:
        return asdict(who())

    async def show_metrics(arguments: Arguments) -> object:
        latencies = shortcut.latencies()[0] if shortcut.measures_latencies else {}
        return metrics.exposition(who(), ledger.totals_by_file, shortcut.counters(), latencies)

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

    async def counters(arguments: Arguments) -> object:
        return shortcut.counters()

    async def by_time(arguments: Arguments) -> object:
        started, found = ledger.by_time()
        return {"started": started, **asdict(found)}

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
                # A long listing must not delay the data path.
                await trio.lowlevel.checkpoint()

    return ControlServer(
        {
            "ping": ping,
            "totals": totals,
            "statistics": counts.statistics,
            "latencies": counts.latencies,
            "reset": counts.reset,
            "files": of_files.names,
            "find_file": of_files.find_file,
            "counters": counters,
            "by_time": by_time,
            "by_offset": of_files.by_offset,
            "totals_by_file": totals_by_file,
            "metrics": show_metrics,
            "faults": faults,
            "set_faults": set_faults,
        },
        {"events": events, "map": of_files.extents},
    )
