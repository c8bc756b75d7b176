"""Says what was looked for on this machine, and found or not."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. *fix* is empty when it is there, *needed_by* names the rigs that need it."""

    name: str
    """The name of the thing."""
    present: bool
    """True if it is there."""
    detail: str
    """The place or version that was found, or the reason why it is missing."""
    fix: str = ""
    """The command or change that provides it; empty if it is there."""
    needed_by: tuple[str, ...] = ()
    """The rigs that cannot run without it."""


def lacks(findings: Iterable[Finding]) -> list[Finding]:
    """Return what is missing and needed."""
    return [finding for finding in findings if not finding.present and finding.needed_by]


def findings_in_words(findings: Iterable[Finding]) -> str:
    """Return the findings in one line, each with its fix."""
    return "; ".join(f"{each.name}: {each.detail} ({each.fix})" for each in findings)
