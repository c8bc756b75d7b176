"""Holds requests until a pool has space, or their time is up (dm-thin.c, retry_on_resume)."""

import math
from collections.abc import Callable

import trio

from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.space_errors import NoDataSpace, NotWritable

NO_SPACE_TIMEOUT = 60.0
"""Seconds that a write waits for space under queue_if_no_space (dm-thin.c, no_space_timeout); 0: for ever."""


class GivenBackError(Exception):
    """The device is being suspended without flush: the request is to begin anew after the resume."""


class HeldWrites:
    """Who waits for space of the pool in *modes*; *timeout* gives seconds, 0 for none. Trio tasks only.

    One timer for all, as in the kernel: it runs from when the pool ran out of space, however late a
    request came to wait.
    """

    def __init__(self, modes: Modes, timeout: Callable[[], float] = lambda: NO_SPACE_TIMEOUT) -> None:
        self.timeout = timeout
        self._modes = modes
        self._waiting = trio.lowlevel.ParkingLot()
        self._timer = trio.lowlevel.ParkingLot()
        self._timed = modes.shortages
        self._deadline = math.inf
        self._given_back: set[ThinDevice] = set()
        self._suspends = 0

    async def wait(self, device: ThinDevice) -> None:
        """Return when a request of *device* may try again.

        That may be in vain, after a suspend of the pool. ENOSPC, or EIO, when the pool became read-only
        meanwhile (error_retry_list); GivenBackError.
        """
        suspends = self._suspends
        while self._modes.waits_for_space:
            if device in self._given_back:
                raise GivenBackError
            await self._waiting.park()
            if suspends != self._suspends:
                return
        if self._modes.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise NoDataSpace("no space came") if self._modes.out_of_data_space else NotWritable()

    def look_again(self) -> None:
        """The pool may have changed. No checkpoint: it also runs on the way out."""
        if not self._modes.waits_for_space:
            self._set_timer(math.inf)
        elif self._modes.shortages != self._timed:
            self._set_timer(trio.current_time() + (self.timeout() or math.inf))
        self._timed = self._modes.shortages
        self._waiting.unpark_all()

    def pool_suspended(self) -> None:
        """Requests begin anew with the resume, and so does the timer (requeue_io, pool_postsuspend)."""
        self._suspends += 1
        self._set_timer(math.inf)
        self._waiting.unpark_all()

    async def timed_out(self) -> None:
        """Return when requests have waited long enough."""
        while True:
            with trio.move_on_at(self._deadline):
                await self._timer.park()
                continue
            self._deadline = math.inf
            return

    def give_back(self, device: ThinDevice) -> None:
        """Let no request of *device* wait, now or later (thin_presuspend, do_noflush_start)."""
        self._given_back.add(device)
        self._waiting.unpark_all()

    def hold_again(self, device: ThinDevice) -> None:
        """End what :meth:`give_back` began (do_noflush_stop)."""
        self._given_back.discard(device)

    def _set_timer(self, deadline: float) -> None:
        if deadline != self._deadline:
            self._deadline = deadline
            self._timer.unpark_all()
