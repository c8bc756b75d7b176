"""`crash_table` shows crashes as a table, with consecutive steps of the same outcome in one row."""

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from thinsim.crashes.campaign import Crash
from thinsim.report.whole_words import WholeWords


def crash_table(crashes: Sequence[Crash]) -> RenderableType:
    """Return the table. A row names the first and the last of its steps."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in (
        "profile",
        "operation",
        "steps",
        "killed before",
        "after the restart",
        "after the repair",
    ):
        table.add_column(heading)
    for outcome, group in groupby(crashes, _outcome):
        rows = list(group)
        profile, operation, restarted, repaired, problems = outcome
        first, last = rows[0], rows[-1]
        numbers = f"{first.number}" if first.number == last.number else f"{first.number}-{last.number}"
        steps = _words(first) if len(rows) == 1 else f"{_words(first)} ... {_words(last)}"
        table.add_row(profile, operation, numbers, steps, restarted, "; ".join([repaired, *problems]))
    return WholeWords(table)


def summary(crashes: Sequence[Crash]) -> str:
    """Return a sentence with the number of crashes and of those with problems."""
    wrong = [crash for crash in crashes if crash.problems]
    operations = len({crash.operation for crash in crashes})
    outcome = f"after {len(wrong)} of them something" if wrong else "nothing"
    return f"{len(crashes)} crashes in {operations} operations: {outcome} was lost, leaked or left incomplete"


def _outcome(crash: Crash) -> tuple[str, str, str, str, tuple[str, ...]]:
    return crash.profile, crash.operation, crash.after_restart, crash.after_repair, tuple(crash.problems)


def _words(crash: Crash) -> str:
    return f"during {crash.step}" if crash.during else crash.step
