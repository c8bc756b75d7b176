"""A `RacingReader` reads what writers are changing: each word must be of the time of the read."""

import random
from collections.abc import Sequence
from pathlib import Path

from tests.dm.plane_oracle import Region
from tests.dm.region_writer import SIZES, DirectDevice, Terms

_PAUSE = 0.002
"""Seconds between reads, so that the readers leave the processors to the writers."""


class RacingReader:
    """A `RacingReader` belongs to one thread, and reads the *regions* of one device."""

    def __init__(self, path: Path, regions: Sequence[Region], seed: int) -> None:
        self.reads = 0
        self._path = path
        self._regions = regions
        self._chance = random.Random(f"reader {seed} {path}")

    def work(self, terms: Terms) -> None:
        """Read until *terms* stop; a wrong word stops all writers."""
        try:
            with DirectDevice(self._path) as device:
                while not terms.stop.wait(_PAUSE):
                    self._read(device)
                    self.reads += 1
        except BaseException:
            terms.stop.set()
            raise

    def _read(self, device: DirectDevice) -> None:
        region = self._chance.choice(self._regions)
        first = region.first + self._chance.randrange(region.count)
        count = min(self._chance.choice(SIZES), region.first + region.count - first)
        window = region.open_window()
        try:
            data = device.read(first, count)
        finally:
            region.close_window(window)
        window.assert_seen(data, first, self._path.name)
