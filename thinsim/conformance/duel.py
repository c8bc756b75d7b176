"""A `Duel` runs one history on two subjects and finds the shortest history on which they differ."""

from collections.abc import Callable
from dataclasses import replace

from thinsim.conformance.answers.verdict import Difference, HistoryVerdict
from thinsim.conformance.histories.history import History, HistoryOperation
from thinsim.conformance.histories.shrink import shortest
from thinsim.conformance.subjects.subject import Subject


class Duel:
    """A `Duel` compares *other* with *kernel* and adds the differences to *verdict*."""

    def __init__(self, kernel: Subject, other: Subject, verdict: HistoryVerdict) -> None:
        self._kernel = kernel
        self._other = other
        self.verdict = verdict

    async def fight(self, history: History) -> list[Difference]:
        """Run *history* on both and return the new differences, those without a known reason."""
        before = len(self.verdict.differences)
        expected = await self._kernel.record(history)
        self.verdict.kernel = expected.source
        self.verdict.add(expected, await self._other.record(history))
        return [each for each in self.verdict.differences[before:] if not each.why]

    async def shrink(self, history: History, difference: Difference, say: Callable[[str], None]) -> History:
        """Return the shortest part of *history* on which both still differ in the same behaviour."""

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
            # Later operations cannot have caused it, and every run ends with the same checks.
            operations = operations[: difference.comparison.index + 1]
        return replace(history, operations=await shortest(operations, differs))
