"""Each exit status of ``thinsim`` has its docstring here, a row of README.md and docs/reference/commands.md.

``thinsim vm run`` and ``thinsim env`` end with the status of the command that they run.
"""

DONE = 0
"""The bench did its work."""

FAILED = 1
"""It could not, found something wrong, or two measurements contradict each other: the text says why."""

WRONG_WORDS = 2
"""The command line is wrong."""

LEAKED = 3
"""It did its work, and a run leaked more than `--fail-on-leak`, or than the baseline."""

BROKEN = 4
"""An assert of the scenario does not hold."""

SLOWER = 5
"""Discards are slower than the baseline and its tolerance allow."""

DIFFERS = 6
"""`conformance`: an answer is not the kernel's, and nothing explains it."""

INTERRUPTED = 130
"""Interrupted by a signal; everything was given back first."""
