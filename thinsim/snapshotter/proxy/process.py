"""`serve_snapshotter` runs the process that serves a snapshotter, until a signal ends it."""

import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.machine.recovery import recover_abandoned
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.events import DeviceEvent
from thinsim.snapshotter.host import LinuxHost
from thinsim.snapshotter.proxy.server import serving
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

log = logging.getLogger(__name__)

_MOUNTPOINT = "mount"  # below the root directory; new file systems are mounted there briefly


async def serve_snapshotter(
    config: Config,
    dm: DeviceMapper,
    socket: Path,
    *,
    journal: Journal | None = None,
    when_ready: Callable[[], None],
) -> None:
    """Serve the snapshotter until SIGTERM or SIGINT, then end the running calls and clean up.

    *journal* is the journal of the run that the snapshotter belongs to. Without one, first clean up after
    killed processes, then keep a journal of its own. *when_ready* is called once the socket listens; errors
    of the configuration, the pool and the socket are raised before that.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            _journal(journal) as kept,
            _snapshotter(config, dm, kept) as snapshotter,
            serving(snapshotter, socket),
        ):
            log.info("serving pool %s at %s", config.pool_name, socket)
            when_ready()
            async for number in signals:
                log.info("received %s, stopping", signal.Signals(number).name)
                break


@asynccontextmanager
async def _snapshotter(
    config: Config, dm: DeviceMapper, journal: Journal
) -> AsyncIterator[DevmapperSnapshotter]:
    mounter = RecordedMounter(journal)
    host = LinuxHost(mounter, config.root_path / _MOUNTPOINT)
    snapshotter = await DevmapperSnapshotter.open(config, dm, host, observer=_log_event)
    try:
        yield snapshotter
    finally:
        with trio.CancelScope(shield=True):
            await mounter.unmount_all()
            await snapshotter.close()


@asynccontextmanager
async def _journal(given: Journal | None) -> AsyncIterator[Journal]:
    if given is not None:
        yield given
        return
    for problem in await trio.to_thread.run_sync(recover_abandoned, log.info):
        log.warning("left by a killed process: %s", problem)
    journal = Journal.create()
    yield journal
    journal.close()


def _log_event(event: DeviceEvent) -> None:
    log.info(
        "%s: %s (thin id %d)%s",
        event.snapshot or event.device,
        event.kind,
        event.thin_id,
        f": {event.detail}" if event.detail else "",
    )
