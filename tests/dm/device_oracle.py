"""An `Oracle` knows every byte of every thin device: it is a model that forks where the pool snapshots."""

import random

from tests.dm.mappers_under_test import BLOCK, MapperUnderTest


class Oracle:
    """An `Oracle` has the content by device name; writes and discards go to the device and to the model."""

    def __init__(self, mapper: MapperUnderTest, seed: int = 0) -> None:
        self._mapper = mapper
        self._random = random.Random(seed)
        self.contents: dict[str, bytearray] = {}

    def add(self, name: str, blocks: int) -> None:
        """Add a new device, which reads as zeros."""
        self.contents[name] = bytearray(blocks * BLOCK)

    def fork(self, name: str, origin: str) -> None:
        """Copy the content of *origin* to a snapshot."""
        self.contents[name] = bytearray(self.contents[origin])

    async def write(self, name: str, offset: int, length: int) -> None:
        """Write bytes that were never written before."""
        data = self._random.randbytes(length)
        await self._mapper.write(name, offset, data)
        self.contents[name][offset : offset + length] = data

    async def write_somewhere(self, name: str) -> None:
        """Write up to three blocks, aligned to sectors only."""
        sectors = len(self.contents[name]) // 512
        start = self._random.randrange(sectors)
        length = min(self._random.choice((1, 8, 128, 129, 300)), sectors - start)
        await self.write(name, start * 512, length * 512)

    async def discard(self, name: str, offset: int, length: int) -> None:
        """Discard; whole blocks inside the range read as zeros from now on."""
        await self._mapper.discard(name, offset, length)
        first, end = -(-offset // BLOCK) * BLOCK, (offset + length) // BLOCK * BLOCK
        if first < end:
            self.contents[name][first:end] = bytes(end - first)

    async def discard_somewhere(self, name: str) -> None:
        """Discard up to eight blocks, aligned to blocks or not."""
        size = len(self.contents[name])
        unit = self._random.choice((BLOCK, 4096))
        start = self._random.randrange(size // unit) * unit
        length = min(self._random.randrange(1, 9) * BLOCK, size - start)
        await self.discard(name, start, length)

    async def verify(self) -> None:
        """Compare every byte of every device."""
        for name, content in self.contents.items():
            found = await self._mapper.read(name, 0, len(content))
            if found != content:
                at = next(n for n, (a, b) in enumerate(zip(found, content, strict=False)) if a != b)
                raise AssertionError(f"{name} differs from the model at byte {at} (block {at // BLOCK})")
