"""`is_root` checks the user; `if_not_root` adds to a message that another user must call the command."""

import os


def is_root() -> bool:
    """Return whether this process may mount file systems and attach loop devices."""
    return os.geteuid() == 0


def if_not_root(what: str) -> str:
    """Return an empty text for root, or else the sentence to append to a message: *what* needs root."""
    return "" if is_root() else f". {what} need root: run with sudo"
