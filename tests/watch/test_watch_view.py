"""The view of a moment is as wide as the terminal and cuts no name."""

import io
import json

import pytest
from rich.console import Console

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import Operation
from thinsim.watch.moment import Moment, WatchedDevice
from thinsim.watch.view import view

MIB = 1 << 20
DEVICES = [WatchedDevice(f"thinsim-29934-e2a5eb8d-snap-{number}", number, 4 * MIB, True) for number in (1, 2)]

DISCARDS = [LedgerEvent(1, 0.0, "data", Operation.PUNCH, 3, 5 * MIB + 65536, 65536, 65536, 65536, 0, 0.1)]


def shown(width: int, *, used: int, leaked: int | None, data_plane: str = "") -> list[str]:
    at_least = leaked or 0
    now = Moment(
        0.0, "rw", 100 * MIB, used, used + at_least, 0, 0, leaked, at_least, DEVICES, DISCARDS, data_plane
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(view("thinsim-29934-e2a5eb8d", now, None, width), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [120, 80, 50, 40])
def test_the_bar_is_one_line_and_names_are_whole_however_narrow_the_terminal(width: int) -> None:
    lines = shown(width, used=50 * MIB, leaked=10 * MIB)
    assert max(map(len, lines)) <= width
    (bar,) = [line for line in lines if "·" in line]
    assert bar.endswith("█ used ▒ leaked")
    cells = bar.removesuffix(" █ used ▒ leaked")
    assert len(cells) == min(60, width - 16)
    assert cells.count("█") == pytest.approx(len(cells) / 2, abs=1)
    assert not any("…" in line for line in lines)
    assert all(device.name in {word for line in lines for word in line.split()} for device in DEVICES)


def test_a_byte_leaked_shows_in_the_bar_and_a_full_bar_is_not_longer() -> None:
    assert "▒" in shown(80, used=50 * MIB, leaked=1)[1].removesuffix("▒ leaked")
    full = shown(80, used=100 * MIB, leaked=10 * MIB)[1]
    assert full == "█" * 60 + " █ used ▒ leaked"


def test_the_data_plane_is_one_line_if_it_is_known() -> None:
    lines = shown(80, used=MIB, leaked=0, data_plane="the file under the data device")
    assert "data plane: the file under the data device" in lines
    assert not any("data plane" in line for line in shown(80, used=MIB, leaked=0))


def test_every_amount_has_a_unit_and_the_exact_bytes_are_in_the_json() -> None:
    (discard,) = [line for line in shown(120, used=MIB, leaked=0) if "punch" in line]
    assert discard.split()[2:] == ["5.1", "MiB", "64", "KiB", "64", "KiB"]
    now = Moment(0.0, "rw", MIB, 0, 0, 0, 0, 0, 0, DEVICES, DISCARDS)
    (exact,) = json.loads(json.dumps(now.to_json()))["discards"]
    assert (exact["offset"], exact["length"], exact["operation"]) == (5 * MIB + 65536, 65536, "punch")


@pytest.mark.parametrize("width", [60, 40])
def test_a_narrow_terminal_shows_the_words_of_a_wide_one_unbroken(width: int) -> None:
    wide, narrow = (" ".join(shown(each, used=50 * MIB, leaked=MIB)).split() for each in (200, width))
    headings = {"device", "thin", "id", "mapped", "discard", "offset", "length", "freed", "now", "change"}
    words = [word for word in wide if not set(word) & set("█▒·") and word not in headings]
    assert [word for word in words if words.count(word) > narrow.count(word)] == []
