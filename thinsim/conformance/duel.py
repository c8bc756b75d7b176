"""Puts one history to two subjects: where they differ, and the shortest history on which they still do."""

from collections.abc import Callable
from dataclasses import replace

from thinsim.conformance.answers.verdict import Difference, HistoryVerdict
from thinsim.conformance.histories.history import History, HistoryOperation
from thinsim.conformance.histories.shrink import shortest
from thinsim.conformance.subjects.subject import Subject


class Duel:
    """*kernel* against *other*, whose differences go into *verdict*."""

    def __init__(self, kernel: Subject, other: Subject, verdict: HistoryVerdict) -> None:
        self._kernel = kernel
        self._other = other
        self.verdict = verdict

    async def fight(self, history: History) -> list[Difference]:
        """Put *history* to both and return what is new: differences that nothing explains."""
        before = len(self.verdict.differences)
        expected = await self._kernel.record(history)
        self.verdict.kernel = expected.source
        self.verdict.add(expected, await self._other.record(history))
        return [each for each in self.verdict.differences[before:] if not each.why]

    async def shrink(self, history: History, difference: Difference, say: Callable[[str], None]) -> History:
        """Return the shortest part of *history* in which both still differ in the same behaviour."""

        async def differs(operations: tuple[HistoryOperation, ...]) -> bool:
            tried = replace(history, operations=operations)
            verdict = HistoryVerdict("", self.verdict.subject)
            verdict.add(await self._kernel.record(tried), await self._other.record(tried))
            found = any(
                each.comparison.behaviour is difference.comparison.behaviour for each in verdict.unexplained
            )
            say(f"{len(operations)} operations: {'differ' if found else 'equal'}")
            return found

        operations = history.operations
        if difference.comparison.index < len(operations):
            # What came later has nothing to do with it; the final clean-up answers the same questions anew.
            operations = operations[: difference.comparison.index + 1]
        return replace(history, operations=await shortest(operations, differs))
