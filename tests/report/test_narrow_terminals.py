"""A narrow terminal gets the same words as a wide one, and none of them is broken."""

import io
from collections.abc import Callable

from rich.console import Console

from thinsim.report.document import Report
from thinsim.report.report_table import print_report


def words_at(width: int, show: Callable[[Console], None]) -> tuple[set[str], int]:
    """Return the words that *show* prints on a terminal, and the length of its longest line."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, markup=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    words = {word.strip(":") for line in lines for word in line.split()}
    return {word for word in words if set(word) != {"─"}}, max(map(len, lines))


def test_a_report_has_the_words_of_a_wide_terminal_at_every_width(image_removal: Report) -> None:
    wide, _ = words_at(300, lambda console: print_report(console, image_removal))
    for width in range(30, 201):
        narrow, longest = words_at(width, lambda console: print_report(console, image_removal))
        assert narrow == wide, width
        assert longest <= width


def test_a_narrow_phase_table_has_rules_below_its_headings_and_above_the_sums(image_removal: Report) -> None:
    console = Console(width=62, file=io.StringIO(), color_system=None)
    print_report(console, image_removal)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    rules = [number for number, line in enumerate(lines) if set(line) == {"─"}]
    assert len(rules) == 2 * len(image_removal.runs)
    for above, below in zip(rules[::2], rules[1::2], strict=True):
        assert lines[above - 1].startswith("phase")
        assert lines[below + 1].startswith("in all")
