"""`table` formats the heights of discards, `difference_lines` the differences of two. Pure."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from thinsim.conformance.heights.cases import (
    STATES,
    DiscardAnswer,
    DiscardCase,
    DiscardCount,
    MeasuredHeights,
    Unlike,
    cases,
)
from thinsim.units import format_size

_HEAD = ("discard of", "thin device", "unmapped", "pool freed", "data device", "store", "host freed")


def table(measured: MeasuredHeights) -> list[str]:
    """Return the lines of a table, one part per state; ``2 x 64 KiB`` is two requests of that mean size."""
    lines = [measured.source]
    shown = [case for case in cases() if case.name in measured.answers]
    for state, of_state in groupby(shown, key=lambda case: case.state):
        rows = [_HEAD, *(_row(case, measured.answers[case.name]) for case in of_state)]
        lines += ["", f"{STATES[state]}:", *_laid_out(rows)]
    return lines


def difference_lines(expected: MeasuredHeights, unlike: Iterable[Unlike]) -> list[str]:
    """Return one line for each difference between *expected* and another."""
    where = expected.source.partition(",")[0]
    return [f"{each.case}: {each.field}: {each.expected} on {where}, {each.found} here" for each in unlike]


def _row(case: DiscardCase, answer: DiscardAnswer) -> tuple[str, ...]:
    return (
        case.size if case.aligned else f"{case.size}, from 4K on",
        _requests(answer.thin),
        _blocks(answer.unmapped),
        _blocks(answer.freed),
        _requests(answer.data),
        _requests(answer.store),
        format_size(answer.host),
    )


def _requests(requests: DiscardCount) -> str:
    if not requests.count:
        return "-"
    return f"{requests.count} x {format_size(requests.bytes // requests.count)}"


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"


def _laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells))
    lines.insert(1, "-" * len(lines[0]))
    return lines
