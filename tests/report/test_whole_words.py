"""A table has the same words at every width of a terminal, unbroken."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st
from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.report.whole_words import WholeWords, print_table, print_words

_WORDS = st.text("abcdefgh-/,", min_size=1, max_size=40)
_SENTENCES = st.lists(_WORDS, min_size=1, max_size=6).map(" ".join)
_Row = tuple[str, str, int, str]
_ROWS = st.lists(
    st.tuples(st.sampled_from(["", "ok"]), _WORDS, st.integers(0, 10**12), _SENTENCES), min_size=1, max_size=4
)


@dataclass(frozen=True)
class Looks:
    """The `Looks` of a table are its box, its padding, its title, and the headings."""

    box: Box | None = None
    padding: tuple[int, int] | tuple[int, int, int, int] = (0, 1)
    title: str | None = None
    headings: tuple[str, ...] = ("", "who", "so many bytes", "why")
    no_wrap: bool = False


_LOOKS = st.builds(
    Looks,
    st.sampled_from([None, SIMPLE_HEAD]),
    st.sampled_from([(0, 1), (0, 1, 0, 0)]),
    st.sampled_from([None, "container: 24.4 MiB leaked (25559040 bytes)"]),
    no_wrap=st.booleans(),
)


def table_of(rows: list[_Row], looks: Looks = Looks()) -> Table:
    table = Table(title=looks.title, box=looks.box, pad_edge=False, padding=looks.padding)
    for place, heading in enumerate(looks.headings):
        table.add_column(heading, justify="right" if place == 2 else "left", no_wrap=looks.no_wrap)
    for mark, who, amount, why in rows:
        table.add_row(mark, Text(who), str(amount), Text(why))
    return table


def shown(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(console, table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def words(lines: list[str]) -> set[str]:
    """Return the words of a table. In a list, headings end with a colon."""
    return {word.rstrip(":") for line in lines for word in line.split()} - {""}


def long_lines(lines: list[str], width: int) -> Iterator[str]:
    """Yield the lines that are too long, though they have more than one word."""
    return (line for line in lines if len(line) > width and len(line.split()) > 1)


@given(_ROWS, _LOOKS, st.integers(30, 200))
@example([("ok", "emulated", 5, "/run/a-directory/with-a-long-name/of-a-pool")], Looks(), 60)
def test_the_words_are_those_of_a_wide_terminal(rows: list[_Row], looks: Looks, width: int) -> None:
    table = table_of(rows, looks)
    wide, narrow = shown(table, 2000), shown(table, width)
    rules = {word for line in [*wide, *narrow] for word in line.split() if set(word) == {"─"}}
    assert words(narrow) - rules == words(wide) - rules
    assert words([f"{mark} {who} {amount} {why}" for mark, who, amount, why in rows]) <= words(narrow)
    assert list(long_lines(narrow, width)) == []
    # The table can be shown again: it is as it was.
    assert shown(table, 2000) == wide


def test_columns_get_narrower_first_and_rows_become_lists_last() -> None:
    rows = [("", "one", 12, "it is the reason"), ("no", "two", 3, "")]
    looks = Looks(headings=("", "who", "bytes", "why"))
    assert shown(table_of(rows, looks), 40) == [
        "    who  bytes  why",
        "    one     12  it is the reason",
        "no  two      3",
    ]
    assert shown(table_of(rows, looks), 26) == [
        "    who  bytes  why",
        "    one     12  it is the",
        "                reason",
        "no  two      3",
    ]
    assert shown(table_of(rows, looks), 16) == [
        "who: one",
        "  bytes: 12",
        "  why: it is the",
        "    reason",
        "no  who: two",
        "  bytes: 3",
    ]


def test_only_the_heading_of_a_number_is_folded() -> None:
    rows = [("", "one", 1234567, "x")]
    assert shown(table_of(rows), 30)[0] == "  who  so many bytes  why"
    assert shown(table_of(rows), 19) == ["       so many", "  who    bytes  why", "  one  1234567  x"]


def test_a_table_fits_if_each_of_its_rows_has_one_line() -> None:
    table = WholeWords(table_of([("", "one", 12, "it is the reason")]))
    width = max(map(len, shown(table_of([("", "one", 12, "it is the reason")]), 200)))
    assert table.fits(Console(file=io.StringIO(), width=width))
    assert not table.fits(Console(file=io.StringIO(), width=width - 1))


def test_a_sentence_has_line_breaks_at_a_terminal_and_none_in_a_pipe() -> None:
    sentence = "a [b]sentence[/b] with /a/path-that-is/longer-than-the-terminal in it"
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), width=20, force_terminal=is_terminal, color_system=None)
        print_words(console, sentence)
        assert isinstance(console.file, io.StringIO)
        printed = console.file.getvalue()
        assert printed.split() == sentence.split()
        assert list(long_lines(printed.splitlines(), 20)) == ([] if is_terminal else [sentence])
