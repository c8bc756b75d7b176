"""`HistoryVerdict` sums up compared recordings: the comparisons per behaviour, and every difference."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from thinsim.conformance.answers.answer import Recording
from thinsim.conformance.answers.compare import AnswerComparison, Behaviour, compare_recordings
from thinsim.conformance.answers.explained import Explainer
from thinsim.conformance.histories.history import HistoryOperation, operation_to_json


@dataclass(frozen=True, slots=True)
class Difference:
    """A `Difference` is one comparison that is not equal. *why* is the known reason for it, or empty."""

    history: str
    operation: HistoryOperation | None
    comparison: AnswerComparison
    why: str


@dataclass(slots=True)
class HistoryVerdict:
    """A `HistoryVerdict` compares one subject with one kernel."""

    kernel: str
    subject: str
    histories: int = 0
    operations: int = 0
    compared: Counter[Behaviour] = field(default_factory=Counter)
    traits: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, expected: Recording, found: Recording) -> None:
        """Compare two recordings of one history; *expected* is the kernel's."""
        self.histories += 1
        operations = expected.history.operations
        self.operations += len(operations)
        self.traits.update({trait: len(operations) for trait in expected.history.traits})
        explainer = Explainer(self.subject, expected)
        for comparison in compare_recordings(expected, found):
            self.compared[comparison.behaviour] += 1
            if not comparison.equal:
                operation = operations[comparison.index] if comparison.index < len(operations) else None
                why = explainer.why(comparison, operation)
                self.differences.append(Difference(expected.history.name, operation, comparison, why))

    @property
    def unexplained(self) -> list[Difference]:
        """Return the differences without a known reason."""
        return [difference for difference in self.differences if not difference.why]

    def unequal(self, behaviour: Behaviour) -> int:
        """Return the number of differences in a behaviour."""
        return sum(difference.comparison.behaviour is behaviour for difference in self.differences)


def verdict_to_json(verdict: HistoryVerdict) -> dict[str, Any]:
    """Return the verdict as a JSON object."""
    return {
        "kernel": verdict.kernel,
        "subject": verdict.subject,
        "histories": verdict.histories,
        "operations": verdict.operations,
        "compared": {behaviour.name.lower(): count for behaviour, count in verdict.compared.items()},
        "differences": [difference_to_json(each) for each in verdict.differences],
    }


def difference_to_json(difference: Difference) -> dict[str, Any]:
    """Return a difference as a JSON object."""
    operation = difference.operation
    return {
        "history": difference.history,
        "index": difference.comparison.index,
        "operation": None if operation is None else operation_to_json(operation),
        "behaviour": difference.comparison.behaviour.name.lower(),
        "kernel": difference.comparison.expected,
        "found": difference.comparison.found,
        "why": difference.why,
    }


def judge_recordings(
    kernel: str, subject: str, pairs: Iterable[tuple[Recording, Recording]]
) -> HistoryVerdict:
    """Compare pairs of recordings, the kernel's first."""
    verdict = HistoryVerdict(kernel, subject)
    for expected, found in pairs:
        verdict.add(expected, found)
    return verdict
