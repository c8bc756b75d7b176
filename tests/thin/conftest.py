"""The fixtures run ``thinsim metadata`` and count the cases of a long campaign, for tables at the end."""

import os
from collections.abc import Callable, Mapping

import pytest

from tests.thin.metadata_command import MetadataCommand, metadata_command

TALLIES = pytest.StashKey[dict[str, dict[str, dict[str, int]]]]()

Tally = Callable[[str, str, Mapping[str, int]], None]


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Return a function that adds counts to a row of a table."""
    tables = pytestconfig.stash.setdefault(TALLIES, {})

    def note(table: str, row: str, counts: Mapping[str, int]) -> None:
        tables.setdefault(table, {})[row] = dict(counts)

    return note


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> MetadataCommand:
    """Return ``thinsim metadata`` as a function."""
    return metadata_command(capsys)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not os.environ.get("THINSIM_CAMPAIGN"):
        return
    for title, rows in config.stash.get(TALLIES, {}).items():
        columns = list(dict.fromkeys(column for counts in rows.values() for column in counts))
        total = {column: sum(counts.get(column, 0) for counts in rows.values()) for column in columns}
        lines = [["", *columns]] + [
            [row, *(f"{counts.get(column, 0):,}" for column in columns)]
            for row, counts in {**rows, "all": total}.items()
        ]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        terminalreporter.section(title)
        for first, *rest in lines:
            cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
            terminalreporter.write_line("  ".join([first.ljust(widths[0]), *cells]))
