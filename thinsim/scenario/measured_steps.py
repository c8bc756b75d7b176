"""`MeasuredSteps` times each act, then samples every height, and keeps the two times apart."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from thinsim.measure.sample import Meter
from thinsim.scenario.progress import StepProgress
from thinsim.snapshotter.events import DeviceEvent
from thinsim.snapshotter.interface import Snapshotter

_Result = TypeVar("_Result")


class MeasuredSteps:
    """`MeasuredSteps` carries out steps and samples every height after each.

    The snapshotter's observer appends the events of devices to *events*; each step empties that list first.
    """

    def __init__(self, meter: Meter, events: list[DeviceEvent], progress: StepProgress) -> None:
        self.meter = meter
        self.seconds: dict[str, float] = {}
        """Seconds per phase; the time of measuring is under ``measuring``."""
        self.snapshotter: Snapshotter | None = None
        """The snapshotter whose usage is sampled; None while it is down."""
        self._events = events
        self._progress = progress

    async def take(self, phase: str, name: str, act: Callable[[], Awaitable[_Result]]) -> _Result:
        """Carry out *act*, take a sample, and return the result of *act*."""
        self._progress.step(phase, name)
        self._events.clear()
        begun = time.monotonic()
        result = await act()
        acted = time.monotonic()
        await self.meter.sample(phase, name, acted - begun, self.snapshotter, tuple(self._events))
        self._spend(phase, acted - begun)
        self._spend("measuring", time.monotonic() - acted)
        return result

    def _spend(self, what: str, seconds: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0) + seconds
