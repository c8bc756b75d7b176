"""``fuse-backing`` ends with one of these exit statuses; their docstrings are rows of README.md's table."""

from collections.abc import Mapping

DONE = 0
"""The command did its work."""

FAILED = 1
"""The command failed. One line on standard error gives the reason."""

WRONG_WORDS = 2
"""The command line is wrong."""

INTERRUPTED = 130
"""Ctrl-C interrupted the command while it printed or followed something."""


def exit_status_help(conditions: Mapping[int, str]) -> str:
    """Return the paragraph of a command's help that lists its exit statuses.

    *conditions* maps a status to the rest of a sentence: *if* ....
    """
    listed = "; ".join(f"{status} if {condition}" for status, condition in conditions.items())
    return f"Exit status: {listed}."
