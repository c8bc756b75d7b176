"""`FaultyBlockDevice` injects planned faults into a block device, as a backing store does, without a store.

It takes the plans of ``fuse_backing.faults``. The ledger records each injected fault.
"""

import os
import time

from fuse_backing.faults import FaultKind, FaultPlan, Operation, Strike
from fuse_backing.ledger import Ledger
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from thinsim.block.interface import BlockDevice
from thinsim.errors import InvalidValueError


class FaultyBlockDevice:
    """A `FaultyBlockDevice` passes requests to *inner*; plans and *ledger* call the device *name*."""

    def __init__(self, inner: BlockDevice, name: str, ledger: Ledger) -> None:
        self._inner = inner
        self._name = name
        self._ledger = ledger
        self._plan = FaultPlan()

    def set(self, plan: FaultPlan) -> None:
        """Replace the present plan by *plan*; InvalidValueError for a crash, since no server can crash."""
        if any(fault.action is FaultKind.CRASH for fault in plan.faults):
            raise InvalidValueError("fault 'crash' needs a backing store in its own process")
        self._plan = plan

    @property
    def size(self) -> int:
        return self._inner.size

    @property
    def max_discard_bytes(self) -> int:
        return self._inner.max_discard_bytes

    def read(self, offset: int, length: int) -> bytes:
        self._strike(Operation.READ, offset, length)
        return self._inner.read(offset, length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self._strike(Operation.WRITE, offset, len(data))
        self._inner.write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        """Discard the range, or as much of it as the plan permits; a lie and a partial punch succeed."""
        strike = self._strike(Operation.PUNCH, offset, length)
        if strike is not None and strike.kind is FaultKind.LIE:
            self._record(Operation.PUNCH, offset, length, strike)
            return
        if strike is not None and strike.kind is FaultKind.PARTIAL:
            self._record(Operation.PUNCH, offset, length, strike)
            length = min(length, strike.bytes)
        if length:
            self._inner.discard(offset, length)

    def flush(self) -> None:
        strike = self._strike(Operation.FSYNC, 0, 0)
        if strike is None or strike.kind is not FaultKind.LIE:
            self._inner.flush()

    def close(self) -> None:
        self._inner.close()

    def _strike(self, operation: Operation, offset: int, length: int) -> Strike | None:
        """Return the fault that the caller must apply, or None; OSError if the plan refuses the request."""
        strike = self._plan.strike(operation, self._name, offset, length)
        if strike is None:
            return None
        if strike.kind in (FaultKind.DELAY, FaultKind.THROTTLE):
            time.sleep(strike.seconds)
            return None
        if strike.errno:
            self._record(operation, offset, length, strike)
            raise OSError(strike.errno, os.strerror(strike.errno), self._name)
        return strike

    def _record(self, operation: Operation, offset: int, length: int, strike: Strike) -> None:
        punch = operation is Operation.PUNCH
        self._ledger.record(
            time=time.time(),
            file=self._name,
            operation=operation,
            mode=FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE if punch else 0,
            offset=offset,
            length=length,
            allocated=0,
            freed=0,
            errno=strike.errno if strike.kind in (FaultKind.ERROR, FaultKind.FULL) else 0,
            duration=0.0,
            fault=strike.kind,
        )
