"""The tables of exit statuses are the constants of two modules, with their docstrings."""

import fuse_backing.statuses
import thinsim.cli.statuses
from tools.reference_pages.docstrings import constants
from tools.reference_pages.markdown import code, prose, table

PROGRAMS = {"thinsim": thinsim.cli.statuses, "fuse-backing": fuse_backing.statuses}


def statuses_of(program: str) -> dict[int, str]:
    """Return the exit statuses of a program by number, each with its meaning as Markdown."""
    return {number: prose(text) for number, text in constants(PROGRAMS[program]).values()}


def status_table(program: str) -> str:
    """Return the table of a program's exit statuses."""
    rows = [(code(str(number)), meaning) for number, meaning in sorted(statuses_of(program).items())]
    return table(("status", "meaning"), rows)
