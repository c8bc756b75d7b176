"""Each exit status of ``fuse-backing`` has its docstring here, a row in the table of README.md."""

from collections.abc import Mapping

DONE = 0
"""Done."""

FAILED = 1
"""Not done: one line on standard error says why."""

WRONG_WORDS = 2
"""The command line is wrong."""

INTERRUPTED = 130
"""Interrupted while it showed or followed something."""


def exit_status_help(conditions: Mapping[int, str]) -> str:
    """Return the paragraph of a command's help that lists its exit statuses.

    *conditions* maps a status to the rest of a sentence: *if* ....
    """
    listed = "; ".join(f"{status} if {condition}" for status, condition in conditions.items())
    return f"Exit status: {listed}."
