"""A plan lists the steps of a request and the metadata changes that follow them."""

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
        """Record that the plan was handed back; AssertionError at the second call."""
        if not self._open:
            raise AssertionError("the plan was already completed or abandoned")
        self._open = False


@dataclass(slots=True)
class WritePlan(_Plan):
    """A `WritePlan` lists the steps of a write and the mappings that ``complete`` inserts.

    The plan covers the first *length* bytes of the request. The rest can't be served now: plan it again.
    *epoch* is the epoch of the transaction that allocated the blocks. *parts* yields the same steps block
    by block.
    """

    steps: list[PlanStep]
    length: int
    inserts: list[Insert] = field(default_factory=list)
    parts: Callable[[], Iterator[BlockWrite]] = lambda: iter(())

    @property
    def remaps(self) -> bool:
        """Return whether the write changes mappings; if not, ``complete`` is optional."""
        return bool(self.inserts)


@dataclass(slots=True)
class DiscardPlan(_Plan):
    """A `DiscardPlan` lists the steps of a discard and the data blocks that it holds references to.

    *held* has a (begin, end) pair per run of data blocks; ``complete`` drops their references.
    """

    steps: list[PlanStep]
    held: list[tuple[int, int]] = field(default_factory=list)
