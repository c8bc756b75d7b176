"""`HeldWrites` holds requests until a pool has space, or their time is up (dm-thin.c, retry_on_resume)."""

import math
from collections.abc import Callable

import trio

from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.space_errors import NoDataSpace, NotWritable

NO_SPACE_TIMEOUT = 60.0
"""Seconds that writes wait for space under queue_if_no_space, 0: no limit (dm-thin.c, no_space_timeout)."""

_WORKER_PERIOD = 1.0
"""Seconds after which the kernel's worker runs without a request (dm-thin.c, do_waker)."""


class WaitStoppedError(Exception):
    """A `WaitStoppedError` ends a request whose device is being suspended without flush.

    The request begins again after the resume.
    """


class HeldWrites:
    """`HeldWrites` are the requests that wait for space of the pool in *modes*. Trio tasks only.

    *timeout* returns seconds, 0 for no limit. All requests share one timer, as in the kernel: it runs from
    the moment when the pool ran out of space, however late a request began to wait.
    """

    def __init__(self, modes: Modes, timeout: Callable[[], float] = lambda: NO_SPACE_TIMEOUT) -> None:
        self.timeout = timeout
        self._modes = modes
        self._waiting = trio.lowlevel.ParkingLot()
        self._requeued = trio.lowlevel.ParkingLot()
        """These have space again, and wait for the next run of the kernel's worker."""
        self._timer = trio.lowlevel.ParkingLot()
        self._timed = modes.shortages
        self._deadline = math.inf
        self._not_waiting: set[ThinDevice] = set()
        self._suspends = 0

    async def wait(self, device: ThinDevice) -> None:
        """Return when a request of *device* may try again.

        After a suspend of the pool it may try in vain. ENOSPC at the timeout, or EIO if the pool became
        read-only meanwhile (error_retry_list). WaitStoppedError after :meth:`stop_waiting`.
        """
        suspends = self._suspends
        while self._modes.waits_for_space:
            if device in self._not_waiting:
                raise WaitStoppedError
            await self._waiting.park()
            if suspends == self._suspends and self._modes.mode is PoolMode.WRITE:
                # A commit that finds space gives them to the worker, but does not wake it (requeue_bios).
                with trio.move_on_after(_WORKER_PERIOD):
                    await self._requeued.park()
            if suspends != self._suspends:
                return
        if self._modes.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise (
                NoDataSpace("no space became free in time")
                if self._modes.out_of_data_space
                else NotWritable()
            )

    def look_again(self) -> None:
        """Wake the requests, since the pool may have changed. It has no checkpoint, for use in clean-up."""
        if not self._modes.waits_for_space:
            self._set_timer(math.inf)
        elif self._modes.shortages != self._timed:
            self._set_timer(trio.current_time() + (self.timeout() or math.inf))
        self._timed = self._modes.shortages
        self._waiting.unpark_all()

    def worker_runs(self) -> None:
        """Begin the requests that have space again: another one needs the worker. It has no checkpoint."""
        self._requeued.unpark_all()

    def pool_suspended(self) -> None:
        """Let requests begin again with the resume, and stop the timer (requeue_io, pool_postsuspend)."""
        self._suspends += 1
        self._set_timer(math.inf)
        self._waiting.unpark_all()
        self._requeued.unpark_all()

    async def timed_out(self) -> None:
        """Return when requests have waited long enough."""
        while True:
            with trio.move_on_at(self._deadline):
                await self._timer.park()
                continue
            self._deadline = math.inf
            return

    def stop_waiting(self, device: ThinDevice) -> None:
        """End the waits of *device*'s requests, now and later (thin_presuspend, do_noflush_start)."""
        self._not_waiting.add(device)
        self._waiting.unpark_all()
        self._requeued.unpark_all()

    def hold_again(self, device: ThinDevice) -> None:
        """Undo :meth:`stop_waiting` (do_noflush_stop)."""
        self._not_waiting.discard(device)

    def _set_timer(self, deadline: float) -> None:
        if deadline != self._deadline:
            self._deadline = deadline
            self._timer.unpark_all()
