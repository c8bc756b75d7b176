"""A table on a narrow terminal has the words of a wide one, unbroken and in their order."""

import io

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.report.whole_words import WholeWords

_WORDS = st.text("abcdefgh-/,", min_size=1, max_size=30)
_SENTENCES = st.lists(_WORDS, max_size=6).map(" ".join)
_Rows = list[tuple[str, int, str]]
_ROWS = st.lists(st.tuples(_WORDS, st.integers(0, 10**12), _SENTENCES), min_size=1, max_size=4)


def shown(rows: _Rows, width: int) -> list[str]:
    table = Table(box=None, pad_edge=False)
    table.add_column("who")
    table.add_column("bytes", justify="right")
    table.add_column("why")
    for who, amount, why in rows:
        table.add_row(Text(who), str(amount), Text(why))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(WholeWords(table), crop=False)
    return out.getvalue().splitlines()


def words(lines: list[str]) -> list[str]:
    return " ".join(lines).split()


@given(_ROWS, st.integers(10, 150))
@example([("emulated", 5, "/run/a-directory/with-a-long-name/of-a-pool")], 60)
def test_no_word_is_broken(rows: _Rows, width: int) -> None:
    lines = shown(rows, width)
    found = words(lines)
    for word in words([f"{who} {amount} {why}" for who, amount, why in rows]):
        assert found.count(word) >= 1, word
    longest = max(len(word) for word in found)
    assert all(len(line.rstrip()) <= width or len(line.split()) == 1 for line in lines), longest


def test_columns_get_narrower_first_and_rows_become_paragraphs_last() -> None:
    rows = [("one", 12, "it is the reason"), ("two", 3, "")]
    assert shown(rows, 40) == [
        "who  bytes  why             ",
        "one     12  it is the reason",
        "two      3                  ",
    ]
    assert [line.rstrip() for line in shown(rows, 22)] == [
        "who  bytes  why",
        "one     12  it is the",
        "            reason",
        "two      3",
    ]
    assert shown(rows, 16) == ["one", "  bytes: 12", "  why: it is the", "    reason", "two", "  bytes: 3"]


def test_a_mark_without_a_heading_comes_before_the_title() -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "fix"):
        table.add_column(heading)
    table.add_row(Text("no", "red"), "root", "run with sudo")
    out = io.StringIO()
    Console(file=out, width=12, color_system=None).print(WholeWords(table), crop=False)
    assert out.getvalue().splitlines() == ["no  root", "  fix: run", "    with", "    sudo"]
