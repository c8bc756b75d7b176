"""A `RetryRule` repeats an operation whose refusal is likely to be temporary, such as a busy device.

A probe by udev or a file descriptor that is not closed yet makes a device busy for a moment. The rules
are containerd's (``plugins/snapshots/devmapper/pool_device.go``): ``retry`` tries 100 times, 100 ms apart,
on EBUSY alone; ``SuspendDevice`` and ``ResumeDevice`` try 3 times on "invalid argument". (They also look
for "device busy", a text that no errno has.) containerd ignores cancellation meanwhile and has no limit on
the total time; here a wait can be cancelled, and a limit can be set.
"""

import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import trio

from thinsim.errors import KernelError
from thinsim.snapshotter.undisturbed import pause

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryRule:
    """A `RetryRule` limits the *tries* of an operation that is refused with one of *errnos*.

    *interval* is the wait after a try, in seconds. With *growing* the wait after try *n* is *n* times as
    long. No try begins later than *total* seconds after the first; 0 means no limit. Every *log_every*-th
    refusal is logged.
    """

    tries: int
    interval: float
    errnos: frozenset[int]
    growing: bool = False
    total: float = 0.0
    log_every: int = 1

    async def run(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        """Run *act* until it is not refused with one of the errnos; raise the last refusal.

        *what* names the operation in the log. A cancellation takes effect only between two tries.
        """
        begun = trio.current_time()
        for attempt in range(1, self.tries + 1):
            try:
                return await act()
            except KernelError as error:
                if error.errno not in self.errnos or attempt == self.tries:
                    raise
                wait = self.interval * (attempt if self.growing else 1)
                if self.total and trio.current_time() + wait - begun > self.total:
                    error.add_note(f"given up after {self.total} seconds and {attempt} tries")
                    _log.warning(
                        "%s: %s; given up after %g seconds (try %d)", what, error, self.total, attempt
                    )
                    raise
                if attempt % self.log_every == 0:
                    _log.warning("%s: %s; trying again (%d of %d)", what, error, attempt, self.tries)
            await pause(wait)
        return None


@dataclass(frozen=True, slots=True)
class RetryRules:
    """`RetryRules` has the rule *busy* for deactivation and deletion, and *hold* for suspend and resume."""

    busy: RetryRule = RetryRule(100, 0.1, frozenset({errno.EBUSY}), log_every=10)
    hold: RetryRule = RetryRule(3, 0.1, frozenset({errno.EINVAL}), growing=True)

    def bounded(self, seconds: float) -> "RetryRules":
        """Return these rules with *seconds* as the limit of each; 0 leaves them unchanged."""
        if not seconds:
            return self
        return RetryRules(replace(self.busy, total=seconds), replace(self.hold, total=seconds))


CONTAINERD_RETRY = RetryRules()
