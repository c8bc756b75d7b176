"""The view of a moment is as wide as the terminal and cuts no name."""

import io

import pytest
from rich.console import Console

from thinsim.watch.moment import Moment, WatchedDevice
from thinsim.watch.view import view

MIB = 1 << 20
DEVICES = [WatchedDevice(f"thinsim-29934-e2a5eb8d-snap-{number}", number, 4 * MIB, True) for number in (1, 2)]


def shown(width: int, *, used: int, leaked: int | None) -> list[str]:
    at_least = leaked or 0
    now = Moment(0.0, "rw", 100 * MIB, used, used + at_least, 0, 0, leaked, at_least, DEVICES)
    console = Console(file=io.StringIO(), width=width)
    console.print(view("thinsim-29934-e2a5eb8d", now, None, [], width))
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
    # A long name continues on the lines below.
    names = "".join("".join(line.split()) for line in lines)
    assert all(device.name in names for device in DEVICES)


def test_a_byte_leaked_shows_in_the_bar_and_a_full_bar_is_not_longer() -> None:
    assert "▒" in shown(80, used=50 * MIB, leaked=1)[1].removesuffix("▒ leaked")
    full = shown(80, used=100 * MIB, leaked=10 * MIB)[1]
    assert full == "█" * 60 + " █ used ▒ leaked"
