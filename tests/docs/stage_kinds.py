"""A `PageStage` sets up what a page's commands need: files, pools, words for placeholders, small sizes.

A command that none of them names runs as it is written.
"""

from dataclasses import dataclass, field

GUEST = "needs a guest with a kernel of its own, minutes where it is emulated"
NEWER = "takes another kernel from the network and boots it in a guest"
NIGHTLY = "make documents-nightly"
CLONE = "runs in a clone, and installs what it measures"
LONGER = "takes some seconds more than the tests of every change should"
LIVE = "runs with each of two rigs, whose numbers are compared"
SAME_COUNTS = "make same-counts"
MAIN_JOB = "tests/docs/test_main_job.py"
INSTALLATION = "tests/docs/test_installation.py"

TERMINATED = 143
"""The exit status of a program that SIGTERM ended."""

SMALL = "--image app.tar --container-mb 4"
"""More words for ``thinsim reproduce``: an image of 4 MiB."""


@dataclass(frozen=True, slots=True)
class CommandCase:
    """A `CommandCase` changes how the commands that begin with *words* are run.

    *fill* has words for placeholders, *instead* has smaller sizes for the shown ones, and *more* is added to
    the command. *before* and *after* are lines of shell around it, and *status* is its exit status. A command
    with *service* runs until it is ended, in the background from *before* to *after*.
    """

    words: str
    fill: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    more: str = ""
    before: str = ""
    after: str = ""
    status: int = 0
    service: bool = False


@dataclass(frozen=True, slots=True)
class PageStage:
    """A `PageStage` has lines of shell: *prepare* before the first command, *finish* after the last one."""

    prepare: str = ""
    finish: str = ""
    fill: dict[str, str] = field(default_factory=dict)
    cases: tuple[CommandCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Exempt:
    """`Exempt` commands of *page* are not run with it: *why*, and the make target or file that runs them."""

    page: str
    words: str
    why: str
    run_by: str
