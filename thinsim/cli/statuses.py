"""Exit statuses beside 0 (done) and 1 (could not); docs/commands.md has the table."""

WRONG_WORDS = 2
"""A wrong command line: click's own status for it."""

LEAKED = 3
"""More leaked than the limit, or than the baseline."""

BROKEN = 4
"""An assert does not hold."""

SLOWER = 5
"""Discards cost more than the baseline and its tolerance allow."""

DIFFERS = 6
"""An answer is not the kernel's, and nothing explains it."""

INTERRUPTED = 130
