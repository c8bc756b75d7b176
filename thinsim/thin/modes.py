"""`Modes` switches pool modes and counts events (dm-thin.c, set_pool_mode, check_low_water_mark)."""

from collections.abc import Callable
from enum import IntEnum

from thinsim.thin.table import PoolFeatures


class PoolMode(IntEnum):
    """Each `PoolMode` allows less than the one before it."""

    WRITE = 0
    OUT_OF_DATA_SPACE = 1
    OUT_OF_METADATA_SPACE = 2
    READ_ONLY = 3
    FAIL = 4

    @property
    def word(self) -> str:
        """Return the mode's word in a status line."""
        return ("rw", "out_of_data_space", "ro", "ro", "Fail")[self]


class Modes:
    """A `Modes` holds a pool's mode and counts the events that ``dmsetup wait`` sees.

    It calls *set_read_only* on a change of mode, with True if the new mode forbids metadata writes.
    *out_of_data_space* is True from a shortage until the pool is back in WRITE mode. *shortages* counts the
    waits for space; the executor's timer restarts with each one (no_space_timeout).
    """

    def __init__(self, set_read_only: Callable[[bool], None]) -> None:
        self.mode = PoolMode.WRITE
        self._set_read_only = set_read_only
        self.needs_check = False
        self.event_nr = 0
        self.error_if_no_space = False
        self.out_of_data_space = False
        self.shortages = 0
        self._error_wanted = False
        self._low_water_blocks = 0
        self._low_water_triggered = False

    @property
    def waits_for_space(self) -> bool:
        """Return whether writes that need a data block are held until one is free."""
        return self.mode is PoolMode.OUT_OF_DATA_SPACE and not self.error_if_no_space

    def bind(self, features: PoolFeatures, low_water_blocks: int, *, loaded: bool = True) -> None:
        """Apply a table's features, and its mode if newly *loaded* (dm-thin.c, bind_control_target)."""
        self.error_if_no_space = self._error_wanted = features.error_if_no_space
        self._low_water_blocks = low_water_blocks
        wanted = PoolMode.READ_ONLY if features.read_only else PoolMode.WRITE
        self.switch(wanted if loaded else self.mode)

    def resume(self) -> None:
        """Let the low water mark trigger an event again (pool_resume)."""
        self._low_water_triggered = False

    def switch(self, new: PoolMode) -> None:
        """Switch to *new* and count an event, unless the pool needs a check or has failed."""
        if new is PoolMode.WRITE and self.needs_check:
            new = self.mode if self.mode is not PoolMode.WRITE else PoolMode.READ_ONLY
        if self.mode is PoolMode.FAIL:
            new = PoolMode.FAIL
        if new is PoolMode.OUT_OF_DATA_SPACE:
            self.out_of_data_space = True
            self.shortages += not self.error_if_no_space
        else:
            self._set_read_only(new is not PoolMode.WRITE)
        if new is PoolMode.WRITE:
            self.out_of_data_space = False
            self.error_if_no_space = self._error_wanted
        if new is not self.mode:
            self.mode = new
            self.event_nr += 1

    def note_free_blocks(self, free: int) -> None:
        """Count the low water mark's event if *free* blocks reach it; at most once between two resumes."""
        if free <= self._low_water_blocks and not self._low_water_triggered:
            self._low_water_triggered = True
            self.event_nr += 1

    def note_low_metadata(self) -> None:
        """Count an event because few metadata blocks are left (metadata_low_callback)."""
        self.event_nr += 1

    def no_space_timeout(self) -> None:
        """Make held writes fail with ENOSPC; the executor's timer calls this (do_no_space_timeout)."""
        if self.waits_for_space:
            self.error_if_no_space = True
            self.event_nr += 1
