"""Sizes, offsets and times are short for people, and no line of a narrow terminal breaks a word."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_backing import picture
from fuse_backing.amounts import elapsed, lasting, placed, sized
from fuse_backing.columns import table, terminal_width, wrapped


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 63, "8 EiB")]
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert sized(count) == text


@given(st.integers(0, (1 << 63) - 1))
def test_an_offset_is_exact(offset: int) -> None:
    number, unit = placed(offset).split()
    assert int(number) << (10 * ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit)) == offset


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1.234e-6, "1.23 µs"),
        (45.67e-6, "45.7 µs"),
        (999.6e-6, "1.00 ms"),
        (0.25, "250 ms"),
        (9.996, "10.0 s"),
        (3600, "3600 s"),
    ],
)
def test_a_duration_has_three_digits(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (64, "1 min 4 s"), (3600, "1 h"), (4096, "1 h 8 min 16 s")]
)
def test_an_elapsed_time_has_the_units_that_are_not_0(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


ROWS = [("file", "events", "punched"), ("disk", "3", "96 KiB"), ("a name with blanks", "12", "1.5 MiB")]


def test_a_table_that_fits_has_columns() -> None:
    assert table(ROWS, None) == table(ROWS, 80)
    assert table(ROWS, 80) == [
        "file                events  punched",
        "disk                     3   96 KiB",
        "a name with blanks      12  1.5 MiB",
    ]


def test_a_table_that_is_too_wide_is_a_list() -> None:
    assert table(ROWS, 30) == [
        "disk",
        "  events 3, punched 96 KiB",
        "a name with blanks",
        "  events 12, punched 1.5 MiB",
    ]
    assert table(ROWS, 20)[-3:] == ["a name with blanks", "  events 12,", "  punched 1.5 MiB"]


@given(st.lists(st.sampled_from(["word", "a", "longer", "12 KiB", "3.4 ms", "x" * 30]), max_size=30))
def test_wrapped_lines_keep_words_and_numbers_with_their_units(words: list[str]) -> None:
    lines = wrapped(" ".join(words), 24)
    assert " ".join(" ".join(lines).split()) == " ".join(words)
    for line in lines:
        assert len(line) <= 24 or len(line.split()) == 1
        assert re.search(r"(^|\s)\d[\d.]*$", line) is None
        assert re.match(r"\s*(KiB|ms)\b", line) is None


@given(st.integers(0, 1 << 40), st.lists(st.integers(0, 1 << 40), max_size=256), st.integers(40, 100))
def test_no_row_of_a_picture_is_wider_than_the_terminal(size: int, values: list[int], columns: int) -> None:
    rows = [*picture.shaded(size, [], columns=columns)[1:], *picture.heat(values, sized, columns)[1:]]
    rows += picture.bars([(sized(value), value) for value in values[:20]], columns)
    assert [row for row in rows if len(row) > columns] == []


def test_a_bar_is_in_proportion_to_its_number() -> None:
    assert picture.bars([("1 µs", 10), ("2 µs", 0), ("16 µs", 5), ("32 µs", 0), ("64 µs", 1)], 24) == [
        " 1 µs |████████| 10",
        " 2 µs |        | 0",
        "16 µs |████    | 5",
        "32 µs |        | 0",
        "64 µs |█       | 1",
    ]


@pytest.mark.parametrize(
    ("columns", "width"), [("60", 60), ("5", 20), ("many", None), ("", None), ("0", None)]
)
def test_without_a_terminal_only_columns_sets_a_width(
    columns: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", None)
    assert terminal_width() == width
