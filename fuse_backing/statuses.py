"""Each exit status of ``fuse-backing`` has its docstring here, a row in the table of README.md."""

DONE = 0
"""Done."""

FAILED = 1
"""Not done: one line on standard error gives the reason."""

WRONG_WORDS = 2
"""The command line is wrong."""

INTERRUPTED = 130
"""Interrupted while it showed or followed something."""
