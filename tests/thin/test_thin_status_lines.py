"""Status lines have the kernel's exact text, and errors name the field and the value."""

import pytest

from thinsim.errors import InvalidValueError
from thinsim.thin.status import PoolStatus, ThinStatus, parse_pool_status, parse_thin_status

LINES = [
    "0 131072 thin-pool 0 217/2048 0/1024 32 rw discard_passdown queue_if_no_space - 512 ",
    "0 2097152 thin-pool 7 1653/16384 392/16384 - out_of_data_space ignore_discard error_if_no_space - 1024 ",
    "0 2097152 thin-pool 7 1653/16384 392/16384 - ro no_discard_passdown queue_if_no_space needs_check 1024 ",
    "0 2097152 thin-pool Fail",
    "0 2097152 thin-pool Error",
]


@pytest.mark.parametrize("line", LINES)
def test_a_pool_status_line_reads_and_prints_unchanged(line: str) -> None:
    start, length = (int(word) for word in line.split()[:2])
    assert parse_pool_status(line).text(start, length) == line


def test_the_fields_of_a_pool_status() -> None:
    assert parse_pool_status(LINES[0]) == PoolStatus(
        0, 217, 2048, 0, 1024, 32, "rw", "discard_passdown", "queue_if_no_space", False, 512
    )


@pytest.mark.parametrize("line", ["0 16384 thin 128 3071", "0 16384 thin 0 -", "0 16384 thin Fail"])
def test_a_thin_status_line_reads_and_prints_unchanged(line: str) -> None:
    assert parse_thin_status(line).text(0, 16384) == line


def test_the_fields_of_a_thin_status() -> None:
    assert parse_thin_status("0 16384 thin 128 3071") == ThinStatus(128, 3071)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("217/2048", "217", "invalid metadata blocks: '217'"),
        ("217/2048", "x/2048", "invalid used metadata blocks: 'x'"),
        ("0/1024", "0/-1", "invalid total data blocks: '-1'"),
        (" 32 ", " y ", "invalid held root: 'y'"),
        (" rw ", " rx ", "invalid mode: 'rx'"),
        ("discard_passdown", "discard", "invalid discard: 'discard'"),
        ("queue_if_no_space", "queue", "invalid no space: 'queue'"),
        (" - 512", " check 512", "invalid needs_check: 'check'"),
        ("512", "5.1", "invalid metadata low watermark: '5.1'"),
        ("512", "", "8 fields"),
        ("thin-pool", "thin", "not the status line of a thin-pool target"),
    ],
)
def test_a_bad_pool_status_names_the_field_and_the_value(old: str, new: str, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        parse_pool_status(LINES[0].replace(old, new, 1))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0 16384 thin 128", "1 fields"),
        ("0 16384 thin x 3071", "invalid mapped sectors: 'x'"),
        ("0 16384 thin 128 y", "invalid highest mapped sector: 'y'"),
        ("z 16384 thin 128 1", "invalid start: 'z'"),
    ],
)
def test_a_bad_thin_status_names_the_field_and_the_value(line: str, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        parse_thin_status(line)
