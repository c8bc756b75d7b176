"""Plays a plan of faults on the requests of a running mount; every injection is an event of the ledger.

Faults strike in Python. While a plan needs to see punches or data, the channel sends those requests here
(``shortcut``) instead of serving them itself. What the kernel serves by passthrough no plan can reach.
"""

import os
import signal
import time
from collections.abc import Callable

import trio

from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import FaultKind, FaultPlan, Operation, Strike
from fuse_backing.ledger import Ledger
from fuse_backing.shortcut import Shortcut

_DATA = frozenset({Operation.READ, Operation.WRITE})


class Injector:
    """The faults of one mount. *last_words* is called before a planned crash, after the event."""

    def __init__(self, ledger: Ledger, shortcut: Shortcut, last_words: Callable[[], object]) -> None:
        self._ledger = ledger
        self._shortcut = shortcut
        self._last_words = last_words
        self.plan = FaultPlan()
        """What is in force."""
        self.active = False
        """Whether any fault is."""
        self._over = trio.Event()  # the end of the plan, and of all its delays

    def set(self, plan: FaultPlan) -> None:
        """Put *plan* in force instead of any other, its counts at 0. Raises FaultPlanError.

        Requests that the old plan delays are done at once.
        """
        if self._shortcut.passthrough and plan.operations & _DATA:
            raise FaultPlanError(
                "reads and writes of this mount are served by the kernel (passthrough), where no fault can "
                "strike them: mount it with --passthrough off"
            )
        self._over.set()
        self._over = trio.Event()
        self.plan, self.active = plan, bool(plan.faults)
        self._shortcut.serve_in_python(everything=bool(plan.operations - {Operation.FSYNC}))

    def clear(self) -> None:
        """Let everything through again."""
        self.set(FaultPlan())

    async def strike(
        self, operation: Operation, file: str, mode: int, offset: int, length: int
    ) -> Strike | None:
        """Show a punch or zero range to the plan.

        A delay is over on return. Raises OSError if it is to fail, which is recorded then; what else is to be
        done is the caller's, who records it with the request.
        """
        strike = self.plan.strike(operation, file, offset, length)
        if strike is None:
            return None
        if strike.kind in (FaultKind.ERROR, FaultKind.CRASH):
            self._record(strike, operation, file, mode, offset, length)
        await self._carry_out(strike)
        return strike

    async def strike_data(
        self, operation: Operation, file: str, offset: int = 0, length: int = 0
    ) -> Strike | None:
        """Show a read, write or fsync to the plan; whatever strikes is recorded here. Raises OSError."""
        strike = self.plan.strike(operation, file, offset, length)
        if strike is None:
            return None
        self._record(strike, operation, file, 0, offset, length)
        await self._carry_out(strike)
        return strike

    async def _carry_out(self, strike: Strike) -> None:
        match strike.kind:
            case FaultKind.DELAY:
                with trio.move_on_after(strike.seconds):
                    await self._over.wait()
            case FaultKind.ERROR | FaultKind.FULL:
                raise OSError(strike.errno, os.strerror(strike.errno))
            case FaultKind.CRASH:
                self._last_words()
                os.kill(os.getpid(), signal.SIGKILL)

    def _record(
        self, strike: Strike, operation: Operation, file: str, mode: int, offset: int, length: int
    ) -> None:
        self._ledger.record(
            time=time.time(),
            file=file,
            operation=operation,
            mode=mode,
            offset=offset,
            length=length,
            allocated=0,
            freed=0,
            errno=strike.errno,
            duration=0.0,
            fault=strike.kind,
        )
