"""`Pauser.pause` suspends a pool, discards free runs within the time of a pause, and resumes the pool."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import trio

from thinsim.errors import KernelError
from thinsim.node.reclaim.candidates import FreedRun
from thinsim.node.reclaim.committed_map import CommittedMap, FreeMap
from thinsim.node.reclaim.data_place import SpaceFreer
from thinsim.node.reclaim.guard import PauseWatcher
from thinsim.node.reclaim.pace import Pace
from thinsim.node.reclaim.pool_pause import PoolPause
from thinsim.node.reclaim.progress import PauseResult
from thinsim.node.reclaim.steady_process import uninterrupted
from thinsim.ranges import Range
from thinsim.units import SECTOR_SIZE

GRACE = 1.0
"""Seconds beyond the pause's limit after which the guard ends a reclaim that does not resume the pool."""
_PATIENCE = 4.0
"""A pause may take this many times the longest so far, where the pool itself is slow."""


@dataclass(slots=True)
class Pauser:
    """A `Pauser` pauses one pool; *longest* is the longest pause so far in seconds."""

    pool: PoolPause
    guard: PauseWatcher
    committed: CommittedMap
    freer: SpaceFreer
    pace: Pace
    longest: float = 0.0
    _resume: float = 0.0

    async def pause(self, queue: deque[FreedRun]) -> PauseResult:
        """Discard blocks from the front of *queue* that are free now, until the time of a pause is over.

        The other candidates stay in the queue. The pool is resumed on each path. Raises DeviceMapperError or
        KernelError, and ConflictError for a map that can't be trusted.
        """
        discarded: list[Range] = []
        suspended = resumed = 0.0
        with trio.CancelScope(shield=True), uninterrupted():
            self.guard.announce(max(self.pace.limit, _PATIENCE * self.longest) + GRACE)
            begun = time.monotonic()
            try:
                await self.pool.suspend()
                suspended = time.monotonic()
                discarded.extend(self._discards(queue, begun))
            finally:
                resumed = time.monotonic()
                await self.pool.resume()
                ended = time.monotonic()
                self.guard.report_end()
        self._resume = ended - resumed
        self.longest = max(self.longest, ended - begun)
        return PauseResult(tuple(discarded), ended - begun, suspended - begun, self._resume)

    def _discards(self, queue: deque[FreedRun], begun: float) -> Iterator[Range]:
        """Yield the ranges that are discarded. The map is the one that the suspend has committed."""
        suspended = time.monotonic()
        now = self.committed.look()
        worked, left = False, self.pace.most
        while queue and left > 0 and (not worked or self._has_time(begun, suspended)):
            piece = self._take(queue, now)
            for offset, length in self._free_in(now, piece):
                before = time.monotonic()
                try:
                    self.freer.punch(offset, length)
                except OSError as error:
                    raise KernelError(error.errno or 0, f"{self.freer.words} at byte {offset}") from error
                self.pace.learn_piece(length, time.monotonic() - before)
                left -= length
                yield offset, offset + length
            worked = True

    def _has_time(self, begun: float, suspended: float) -> bool:
        now = time.monotonic()
        return self.pace.has_time(now - begun, now - suspended, self._resume)

    def _take(self, queue: deque[FreedRun], now: FreeMap) -> FreedRun:
        """Take a piece from the queue's first candidate."""
        block_bytes = now.block_sectors * SECTOR_SIZE
        first = queue.popleft()
        step = max(1, self.freer.unit // block_bytes)
        cut = max(first.begin + self.pace.piece // block_bytes, first.begin + 1) // step * step
        if first.end <= cut or cut <= first.begin:
            return first
        # The bytes that the host holds are not needed here.
        queue.appendleft(FreedRun(cut, first.end, 0))
        return FreedRun(first.begin, cut, 0)

    def _free_in(self, now: FreeMap, piece: FreedRun) -> Iterator[tuple[int, int]]:
        block_bytes, unit = now.block_sectors * SECTOR_SIZE, self.freer.unit
        for begin, end in now.runs(piece.begin, piece.end):
            offset = -(-begin * block_bytes // unit) * unit
            length = end * block_bytes // unit * unit - offset
            if length > 0:
                yield offset, length
