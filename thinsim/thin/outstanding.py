"""A plan lists the steps of a request, and what the metadata is owed afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from thinsim.thin.mapping import Insert
from thinsim.thin.plan import PlanStep
from thinsim.thin.writing import BlockWrite


@dataclass(slots=True, kw_only=True)
class _Plan:
    epoch: int = 0
    _open: bool = field(default=True, init=False)

    def close(self) -> None:
        """Note that the plan was handed back; AssertionError for the second time."""
        if not self._open:
            raise AssertionError("the plan was already completed or abandoned")
        self._open = False


@dataclass(slots=True)
class WritePlan(_Plan):
    """The steps of a write, and the mappings that ``complete`` makes visible.

    The plan is for the first *length* bytes of the request: what comes then can't be served now, and is
    planned again. *epoch* is the transaction's in which its blocks were taken. *parts* yields the same
    steps block by block.
    """

    steps: list[PlanStep]
    length: int
    inserts: list[Insert] = field(default_factory=list)
    parts: Callable[[], Iterator[BlockWrite]] = lambda: iter(())

    @property
    def remaps(self) -> bool:
        """Whether the write changes mappings; a plan that doesn't needs no ``complete``."""
        return bool(self.inserts)


@dataclass(slots=True)
class DiscardPlan(_Plan):
    """The steps of a discard, and the runs of data blocks whose references ``complete`` drops."""

    steps: list[PlanStep]
    held: list[tuple[int, int]] = field(default_factory=list)
