"""A `MatrixResult` is what one step did on one system; `merged` puts it into the kept results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MatrixResult:
    """A `MatrixResult` has the day of the measurement, and the commit that the clone in the system had."""

    suite: str
    step: str
    status: int
    """The exit status; 124 after the time limit."""
    result: str
    seconds: int
    day: str
    commit: str
    versions: Mapping[str, str]
    """The versions of the system's programs after the step; empty for a program that is not installed."""


def merged(
    kept: Sequence[Mapping[str, Any]], result: MatrixResult, suites: Sequence[str], steps: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the *kept* results with *result* in its place, in the order of *suites* and *steps*.

    Results of suites and steps that are no longer in the matrix are dropped.
    """
    known = {(each["suite"], each["step"]): dict(each) for each in kept}
    known[result.suite, result.step] = asdict(result)
    places = [(suite, step) for suite in suites for step in steps]
    return [known[place] for place in places if place in known]
