"""A `Finding` reports whether this machine has one thing that thinsim looked for."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A `Finding` is the result of one check.

    *fix* is empty if the thing is present. *needed_by* names the rigs that need it.
    """

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
    """Return the findings that are missing and needed by a rig."""
    return [finding for finding in findings if not finding.present and finding.needed_by]


def findings_in_words(findings: Iterable[Finding]) -> str:
    """Return the findings on one line, each with its fix."""
    return "; ".join(f"{each.name}: {each.detail} ({each.fix})" for each in findings)
