"""A table on a narrow terminal loses no letter, and keeps its numbers in one piece."""

import io
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.report.uncut import uncut

_WORDS = st.text("abcdefgh-", min_size=1, max_size=30)
_SENTENCES = st.lists(_WORDS, min_size=1, max_size=6).map(" ".join)
_ROWS = st.lists(st.tuples(_WORDS, st.integers(0, 10**12), _SENTENCES), min_size=1, max_size=4)


def shown(table: Table, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return out.getvalue()


@given(_ROWS, st.integers(24, 100))
def test_nothing_is_cut_off(rows: list[tuple[str, int, str]], width: int) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("who")
    table.add_column("bytes", justify="right")
    table.add_column("why")
    for who, amount, why in rows:
        table.add_row(Text(who), str(amount), Text(why))
    text = shown(uncut(table), width)
    assert "…" not in text
    for _, amount, _ in rows:
        assert str(amount) in text
    given_letters = Counter("whobyteswhy" + "".join(who + why for who, _, why in rows))
    found = Counter(text)
    assert all(found[letter] >= number for letter, number in given_letters.items() if letter != " ")
    assert max(map(len, text.splitlines())) <= width
