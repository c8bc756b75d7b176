"""`last_output` writes what standard output and standard error still hold, before the interpreter ends."""

import os
import sys

from thinsim.cli.statuses import DONE, FAILED


def last_output(status: int) -> int:
    """Return the exit status of a command that ends with *status*.

    A command whose last output can't be written has failed. Python itself would exit with 120, whatever
    *status* is: the flush at its end fails once more, as it does on a terminal that is gone.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # the command began with it closed
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            status = FAILED if status == DONE else status
    return status
