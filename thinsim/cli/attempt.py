"""`attempted` carries out measuring work, and keeps the measurements if the work ends early."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import click

from thinsim.cli.interruptible import run_interruptible

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Attempt(Generic[_Result]):
    """An `Attempt` has the result of work; with a *failure*, the result is that of the part before."""

    result: _Result
    failure: Exception | None = None

    @property
    def cut_short(self) -> str | None:
        """Return the reason why the work ended early, in words, or None."""
        if self.failure is None:
            return None
        if isinstance(self.failure, click.Abort):
            return "a signal interrupted the command"
        return str(self.failure) or type(self.failure).__name__


def attempted(work: Callable[[Callable[[_Result], object]], Awaitable[_Result]]) -> Attempt[_Result]:
    """Carry out *work*, as `run_interruptible` does, and return its result.

    *work* takes the function that it calls with its measurements if it ends early. If it ends early without
    that call, its failure is raised.
    """
    kept: list[_Result] = []
    try:
        return Attempt(run_interruptible(lambda: work(kept.append)))
    except Exception as failure:
        if not kept:
            raise
        return Attempt(kept[-1], failure)
