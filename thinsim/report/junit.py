"""`junit` writes JUnit XML for CI services: one suite per variant, with cases for asserts and leaks."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

from thinsim.report.document import Report, VariantRun
from thinsim.report.leak_words import leaked_more
from thinsim.units import format_size

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 cannot contain (section 2.2)."""


@dataclass(frozen=True, slots=True)
class TestCase:
    """A `TestCase` passes if the three reasons are empty; at most one of them is given."""

    name: str
    failure: str = ""
    """The expectation that does not hold."""
    error: str = ""
    """The reason why the case could not run to its end."""
    skipped: str = ""
    """The reason why nothing was tested, which fails no job."""
    seconds: float = 0.0


def junit(report: Report, fail_on_leak: int | None = None) -> str:
    """Return the XML of *report*. With *fail_on_leak*, in bytes, each variant has a case for that limit."""
    suites = [(f"{report.name}: {run.name}", run.started, _cases(run, fail_on_leak)) for run in report.runs]
    if report.cut_short is not None and all(run.cut_short is None for run in report.runs):
        # The clean-up after the last run failed, for instance.
        started = max((run.started for run in report.runs), default=0.0)
        suites.append((report.name, started, [TestCase("ran", error=report.cut_short)]))
    return document(suites)


def document(suites: Iterable[tuple[str, float, list[TestCase]]]) -> str:
    """Return the XML of *suites*: each has a name, a start in seconds since the epoch, and cases.

    The time of a suite is the sum of its cases; the root has the totals, and the start of the first suite.
    """
    root = ElementTree.Element("testsuites", name="thinsim")
    every: list[TestCase] = []
    starts: list[float] = []
    for name, started, cases in suites:
        every += cases
        starts.append(started)
        suite = ElementTree.SubElement(root, "testsuite", {"name": _text(name), **_counted(cases, started)})
        for case in cases:
            words = {"classname": _text(name), "name": _text(case.name)}
            element = ElementTree.SubElement(suite, "testcase", {**words, "time": f"{case.seconds:.3f}"})
            for kind in _REASONS:
                why = getattr(case, kind)
                if why:
                    reason = ElementTree.SubElement(element, kind, message=_text(why))
                    reason.text = _text(why)
    root.attrib |= _counted(every, min(starts, default=0.0))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


_REASONS = ("failure", "error", "skipped")


def _counted(cases: Sequence[TestCase], started: float) -> dict[str, str]:
    """Return the attributes that a suite and the root have in common."""
    return {
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failure) for case in cases)),
        "errors": str(sum(bool(case.error) for case in cases)),
        "skipped": str(sum(bool(case.skipped) for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
        "timestamp": datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    }


def _text(text: str) -> str:
    """Return *text* with the characters that XML can't contain written as escapes."""
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _cases(run: VariantRun, fail_on_leak: int | None) -> list[TestCase]:
    spent: dict[str, float] = dict(run.seconds)
    cases = [
        TestCase(
            f"{outcome.phase}: {outcome.asserted}",
            "" if outcome.held else f"found {outcome.found}" + (f" ({outcome.why})" if outcome.why else ""),
            # The first assert of a phase gets the time of the phase.
            seconds=spent.pop(outcome.phase, 0.0),
        )
        for outcome in run.outcomes
    ]
    if fail_on_leak is not None:
        name = f"leaks at most {format_size(fail_on_leak)}"
        failure = "; ".join(map(str.strip, leaked_more(run.leaks, fail_on_leak, run.fs_type)))
        skipped = "the run was cut short, so it may leak more" if run.cut_short and not failure else ""
        cases.append(TestCase(name, failure, skipped=skipped))
    # The case "ran" gets the time of measuring and of phases without an assert, so that the sum is right.
    return [TestCase("ran", error=run.cut_short or "", seconds=sum(spent.values())), *cases]
