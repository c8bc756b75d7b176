"""`leak_limit_option` gives a command ``--fail-on-leak``; `exceeds` compares a report with the limit."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from thinsim.cli.size import SIZE
from thinsim.cli.statuses import LEAKED
from thinsim.report.document import Report
from thinsim.report.leak_words import leaked_more

_Command = TypeVar("_Command", bound=Callable[..., Any])


def leak_limit_option(run: str) -> Callable[[_Command], _Command]:
    """Add ``--fail-on-leak``, the parameter *fail_on_leak*. *run* is the command's word for a run."""
    return click.option(
        "--fail-on-leak",
        type=SIZE,
        metavar="BYTES",
        help=f"End with status {LEAKED} if a {run} leaks more than this.",
    )


def exceeds(report: Report, limit: int | None) -> bool:
    """Return whether a run of *report* leaks more than *limit* bytes. Print each such run and its owners."""
    exceeded = False
    for run in report.runs if limit is not None else ():
        head, *owners = leaked_more(run.leaks, limit or 0, run.fs_type) or [""]
        if head:
            exceeded = True
            click.echo(f"thinsim: {run.name}: {head}", err=True)
        for line in owners:
            click.echo(f"  {line}", err=True)
    return exceeded
