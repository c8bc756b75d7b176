"""What was looked for on this machine, and found or not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. *fix* is empty when it is there."""

    name: str
    present: bool
    detail: str
    fix: str = ""
    needed_by: tuple[str, ...] = ("emulated", "kernel")
