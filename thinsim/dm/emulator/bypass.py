"""A `Bypass` lets requests through beside a gate or a lock, without Python."""

from typing import Protocol


class Bypass(Protocol):
    """A `Bypass` is open while nobody holds it. Trio tasks only."""

    def hold(self) -> None:
        """Let no request through from now on. Holds are counted."""

    async def idle(self) -> None:
        """Return once no request that was let through is in progress; call it while it is held."""

    def release(self) -> None:
        """Undo one hold."""


class NoBypass:
    """A `NoBypass` lets no request through: all of them come to Python."""

    def hold(self) -> None:
        """Do nothing."""

    async def idle(self) -> None:
        """Return at once, without a checkpoint."""

    def release(self) -> None:
        """Do nothing."""
