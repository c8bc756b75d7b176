"""`MeasuredSteps` times each act, then samples every height, and keeps the two times apart."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from fuse_backing.events import LedgerEvent
from thinsim.measure.sample import Meter
from thinsim.rig.interface import Rig
from thinsim.scenario.progress import StepProgress
from thinsim.snapshotter.events import DeviceEvent
from thinsim.snapshotter.interface import Snapshotter

_Result = TypeVar("_Result")


class MeasuredSteps:
    """`MeasuredSteps` carries out steps and samples every height after each."""

    def __init__(self, rig: Rig, progress: StepProgress) -> None:
        self.meter = Meter(rig)
        self.started = time.time()
        """Seconds since the epoch."""
        self.device_events: list[DeviceEvent] = []
        """The snapshotter's observer appends the events of devices; each step empties this list first."""
        self.observe: Callable[[], Awaitable[Iterable[DeviceEvent]]] | None = None
        """Returns the events of a step for a snapshotter that reports none itself."""
        self.store_events: list[LedgerEvent] = []
        """The store's events on the data file, collected after each step, so that its ring loses none."""
        self.seconds: dict[str, float] = {}
        """Seconds per phase; the time of measuring is under ``measuring``."""
        self.snapshotter: Snapshotter | None = None
        """The snapshotter whose usage is sampled; None while it is down."""
        self._files: int | None = 0
        self._rig = rig
        self._progress = progress

    async def take(self, phase: str, name: str, act: Callable[[], Awaitable[_Result]]) -> _Result:
        """Carry out *act*, take a sample, and return the result of *act*."""
        self._progress.step(phase, name)
        self.device_events.clear()
        self._files = 0
        begun = time.monotonic()
        result = await act()
        acted = time.monotonic()
        if self.observe is not None:
            self.device_events += await self.observe()
        seconds, events = acted - begun, tuple(self.device_events)
        await self.meter.sample(phase, name, seconds, self.snapshotter, events, self._files)
        last = self.store_events[-1].sequence if self.store_events else 0
        self.store_events += await self._rig.events(last)
        self._spend(phase, seconds)
        self._spend("measuring", time.monotonic() - acted)
        return result

    def writing(self, work: Callable[[], Awaitable[int | None]]) -> Callable[[], Awaitable[None]]:
        """Return *work* as the act of a step that writes files.

        *work* returns the number of bytes that it wrote, or None if it is unknown. It is also unknown if
        *work* fails.
        """

        async def act() -> None:
            self._files = None
            self._files = await work()

        return act

    def _spend(self, what: str, seconds: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0) + seconds


def added(*times: Mapping[str, float]) -> dict[str, float]:
    """Return the sum of *times*, each in seconds by activity."""
    sums: dict[str, float] = {}
    for each in times:
        for what, seconds in each.items():
            sums[what] = sums.get(what, 0) + seconds
    return sums
