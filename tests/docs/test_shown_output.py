"""Output is the same if its words and their order are; numbers do not count."""

import pytest

from tests.docs.shown_output import missing, shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("demo  running  2 GiB  138.8 MiB  0 B", " demo running 2 GiB  0 B  137 KiB"),
        ("299M\timages/disk", "0\timages/disk"),
        ("0 4194304 thin-pool 0 1650/16384 - rw", "0 8192 thin-pool 3 1/2 - rw"),
        ("rig emulated, Linux 6.18.44-fc-v595; blocks", "rig emulated, Linux 6.1.0-56-amd64; blocks"),
        ("/tmp/demo/mnt: served by process 13027", "/var/x/mnt: served by process 1"),
        ("  0 B |    ▓▓▓▓ ████|", "256 MiB |                |"),
        ("22 2026-11-24T04:08:35.371 punch disk offset 8", "9 2027-01-01T00:00:00.1 punch disk offset 0"),
    ],
)
def test_numbers_and_pictures_do_not_count(one: str, other: str) -> None:
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("name  state  size", "name  size  state"),
        ("0 1 thin-pool 0 1/2 - rw", "0 1 thin-pool 0 1/2 - ro"),
        ("fault lie", "fault partial"),
    ],
)
def test_words_do(one: str, other: str) -> None:
    assert shape(one) != shape(other)


def test_what_is_shown_must_have_been_printed_in_order_and_more_may_have_been() -> None:
    printed = ["title", "a 1", "b 2", "long line to the end"]
    assert missing(["a 7", "b 8"], printed) is None
    assert missing(["title", "", "...", "long line ..."], printed) is None
    assert missing(["b 8", "a 7"], printed) == "a 7"
    assert missing(["c"], printed) == "c"
