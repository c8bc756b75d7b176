"""``thinsim`` ends with one of these exit statuses; their docstrings are rows of the documents' tables.

``thinsim vm run`` and ``thinsim env`` end with the status of the command that they run.
"""

DONE = 0
"""The command did its work."""

FAILED = 1
"""The command failed, found something wrong, or measured a contradiction. The message gives the reason."""

WRONG_WORDS = 2
"""The command line is wrong."""

LEAKED = 3
"""A run leaked more than is allowed. `heights`: discards die. `audit`: space is lost."""

BROKEN = 4
"""An assert of the scenario does not hold. `audit`: a pool and containerd's databases disagree."""

SLOWER = 5
"""Discards are slower than the baseline and its tolerance allow."""

DIFFERS = 6
"""`conformance`: an answer differs from the kernel's, and no known reason explains it."""

NOT_COMPARED = 7
"""`ci`: a scenario or a variant is new, missing or measured under other conditions than in the baseline."""

INTERRUPTED = 130
"""A signal interrupted the command. It cleaned up first."""
