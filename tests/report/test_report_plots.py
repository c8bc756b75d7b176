"""The plots have exact sums and round numbers on their axes, and phases follow one another."""

import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.report.document import Report
from thinsim.report.html.discards import LEVELS, OFFSET_CELLS, TIME_CELLS, Punch, grid, level
from thinsim.report.html.page import bands_of
from thinsim.report.html.space import heights_over_time
from thinsim.report.html.svg import Band, Frame, TimeScale, size_ticks, time_axis

SCALE = TimeScale.of([Band(1, "all", 0.0, 10.0)])

punch_lists = st.lists(
    st.builds(
        lambda at, offset, length, share: Punch(at, offset, length, length * share // 100),
        st.floats(0, 10),
        st.integers(0, 1 << 30),
        st.integers(1, 1 << 26),
        st.integers(0, 100),
    ),
    max_size=20,
)


@given(punch_lists)
def test_the_heat_map_has_every_byte_once(found: list[Punch]) -> None:
    end = max([1, *(punch.offset + punch.length for punch in found)])
    freed, asked = grid(found, SCALE, end)
    assert len(freed) == OFFSET_CELLS
    assert all(len(row) == TIME_CELLS for row in freed)
    assert sum(map(sum, freed)) == sum(punch.freed for punch in found)
    assert sum(map(sum, asked)) == sum(punch.length for punch in found)
    assert all(value >= 0 for row in (*freed, *asked) for value in row)


def test_a_punch_is_where_it_was_in_time_and_file() -> None:
    freed, _ = grid([Punch(5.0, 50, 10, 10)], SCALE, 100)
    hot = [(row, cell) for row, cells in enumerate(freed) for cell, value in enumerate(cells) if value]
    assert {cell for _, cell in hot} == {TIME_CELLS // 2}
    assert {row for row, _ in hot} == set(range(50 * OFFSET_CELLS // 100, -(-60 * OFFSET_CELLS // 100)))


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_a_shade_is_one_of_the_legend_and_grows_with_the_value(value: int, most: int) -> None:
    value = min(value, most)
    assert 1 <= level(value, most) <= LEVELS
    assert level(value, most) <= level(most, most) == LEVELS or most < LEVELS


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=2))
def test_time_goes_from_left_to_right_and_no_phase_is_lost(lasts: list[float], shares: list[float]) -> None:
    ends = list(accumulate(lasts))
    phases = [Band(n, "", end - last, end) for n, (end, last) in enumerate(zip(ends, lasts, strict=True), 1)]
    scale = TimeScale.of(phases)
    times = sorted(share * ends[-1] for share in shares)
    places = [scale.place(at) for at in times]
    assert places == sorted(places)
    assert scale.place(-1.0) == 0
    assert 0.999 <= scale.place(scale.edges[-1] + 1) <= 1.001
    if ends[-1] > 0:
        widths = [after - before for before, after in pairwise(scale.places)]
        assert min(widths) >= min(0.1, 0.5 / len(phases)) / 2


@given(st.integers(1, 1 << 50))
def test_size_ticks_are_few_and_powers_of_two_apart(top: int) -> None:
    found = size_ticks(top)
    assert 2 <= len(found) <= 9
    step = found[1] - found[0]
    assert step & (step - 1) == 0


def test_the_store_s_line_is_the_host_s_and_phases_follow_one_another(image_removal: Report) -> None:
    for run in image_removal.runs:
        lines = {
            line.kind: line.values for line in heights_over_time(run.samples, image_removal.pool.block_bytes)
        }
        assert lines["host"] == lines["store"]
        found = bands_of(run)
        assert [band.name for band in found] == image_removal.phases
        assert all(before.end == after.start for before, after in pairwise(found))
        assert found[-1].end == run.samples[-1].at


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ([0.004, 0.009], ["0.00 ms", "4.00 ms", "9.00 ms"]),
        ([0.3, 0.62], ["0 ms", "300 ms", "620 ms"]),
        ([0.004, 12.0], ["0.00 s", "0.004 s", "12.0 s"]),
    ],
)
def test_times_of_a_short_run_are_distinct(ends: list[float], labels: list[str]) -> None:
    phases = [Band(n, "", start, end) for n, (start, end) in enumerate(pairwise([0.0, *ends]), 1)]
    axis = "".join(time_axis(Frame(TimeScale.of(phases), 1, 100)))
    assert re.findall(r"<text[^>]*>([^<]*)", axis) == labels
