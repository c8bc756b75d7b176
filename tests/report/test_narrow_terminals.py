"""A narrow terminal gets the same words as a wide one, and none of them is broken."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from thinsim.report.columns import Group, lay_out_narrow
from thinsim.report.document import Report
from thinsim.report.report_table import print_report


def words_at(width: int, show: Callable[[Console], None]) -> tuple[set[str], int]:
    """Return the words that *show* prints on a terminal, and the length of its longest line."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, markup=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return {word for line in lines for word in line.split() if set(word) != {"─"}}, max(map(len, lines))


@pytest.mark.parametrize("width", [60, 48])
def test_no_word_of_a_report_is_broken(image_removal: Report, width: int) -> None:
    wide, _ = words_at(300, lambda console: print_report(console, image_removal))
    narrow, longest = words_at(width, lambda console: print_report(console, image_removal))
    assert narrow == wide
    assert longest <= width


def test_the_words_of_a_table_survive_as_a_list_where_its_numbers_do_not_fit(image_removal: Report) -> None:
    wide, _ = words_at(300, lambda console: print_report(console, image_removal))
    narrow, longest = words_at(36, lambda console: print_report(console, image_removal))
    # The headings of the names are left out.
    kept = wide - {"phase", "snapshot"}
    assert {word.strip(":,;") for word in kept} <= {word.strip(":,;") for word in narrow}
    assert longest <= 36


def test_a_narrow_table_has_its_numbers_on_the_last_line_of_a_name() -> None:
    group = Group("off", ("pool used", "leaked"), [("1.5 MiB", "20 B"), ("3 B", "4 B")])
    assert lay_out_narrow(["phase", "container removed", "in all"], group, 28) == [
        "off",
        "phase           pool",
        "                used  leaked",
        "────────────────────────────",
        "container",
        "removed      1.5 MiB    20 B",
        "────────────────────────────",
        "in all           3 B     4 B",
    ]
    assert lay_out_narrow(["phase", "container removed", "in all"], group, 20) == [
        "off",
        "container removed:",
        "pool used 1.5 MiB,",
        "leaked 20 B",
        "in all: pool used 3",
        "B, leaked 4 B",
    ]
