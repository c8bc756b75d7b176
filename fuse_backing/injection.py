"""`Injector` runs a fault plan on the requests of a mount; the ledger records every injection.

Faults strike in Python. While a plan has faults for punches or data, the channel sends those requests here
(``shortcut``) instead of serving them itself. No plan can strike a request that the kernel serves by
passthrough.
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
    """An `Injector` runs the fault plan of one mount.

    It calls *last_words* before a planned crash, after it has recorded the crash.
    """

    def __init__(self, ledger: Ledger, shortcut: Shortcut, last_words: Callable[[], object]) -> None:
        self._ledger = ledger
        self._shortcut = shortcut
        self._last_words = last_words
        self.plan = FaultPlan()
        """The active plan."""
        self.active = False
        """True if the plan has any fault."""
        self._over = trio.Event()  # set at the end of the plan; it ends all its delays

    def set(self, plan: FaultPlan) -> None:
        """Replace the active plan with *plan*, its counts at 0. Raises FaultPlanError.

        Requests that the old plan delays continue at once.
        """
        if self._shortcut.passthrough and plan.operations & _DATA:
            raise FaultPlanError(
                "the kernel serves reads and writes of this mount (passthrough), so no fault can strike "
                "them: mount it with --passthrough off"
            )
        self._over.set()
        self._over = trio.Event()
        self.plan, self.active = plan, bool(plan.faults)
        self._shortcut.serve_in_python(everything=bool(plan.operations))

    def clear(self) -> None:
        """Remove all faults."""
        self.set(FaultPlan())

    async def strike(
        self, operation: Operation, file: str, mode: int, offset: int, length: int
    ) -> Strike | None:
        """Match a punch or zero range against the plan; return the strike, if there is one.

        A delay is over on return. Raises OSError if the request must fail; that failure is already recorded.
        The caller does and records everything else.
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
        """Match a read, write or fsync against the plan, and record any strike. Raises OSError."""
        strike = self.plan.strike(operation, file, offset, length)
        if strike is None:
            return None
        self._record(strike, operation, file, 0, offset, length)
        await self._carry_out(strike)
        return strike

    async def _carry_out(self, strike: Strike) -> None:
        match strike.kind:
            case FaultKind.DELAY | FaultKind.THROTTLE:
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
