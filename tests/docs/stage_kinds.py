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

TERMINATED = 143
"""The exit status of what SIGTERM ended."""

SMALL = "--image app.tar --container-mb 4"
"""More words for ``thinsim reproduce``: an image of 4 MiB."""


@dataclass(frozen=True, slots=True)
class CommandCase:
    """What is special about the commands that begin with *words*.

    *fill* has words for placeholders, *instead* smaller sizes for those shown, *more* is put behind the
    command, *before* and *after* are lines of shell around it, *status* is what it exits with. *service* is
    for one that serves until it is ended: it runs in the background from *before* to *after*.
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
    """A page: *prepare* and *finish* are lines of shell before the first command and after the last."""

    prepare: str = ""
    finish: str = ""
    fill: dict[str, str] = field(default_factory=dict)
    cases: tuple[CommandCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Exempt:
    """Commands of *page* that are not run with the page: why, and what runs them: a make target or a file."""

    page: str
    words: str
    why: str
    run_by: str
