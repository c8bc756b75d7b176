"""The emulated dm-thin discards at each height as the recorded kernels do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.conformance.heights.cases import (
    DEVICE,
    BlockState,
    DiscardAnswer,
    DiscardCase,
    DiscardCount,
    MeasuredHeights,
    cases,
    chosen,
    compare_heights,
    from_json,
    to_json,
)
from thinsim.conformance.heights.subjects import measure_on, read_heights, recorded_heights
from thinsim.conformance.heights.table import difference_lines, table
from thinsim.conformance.subjects.subject import Side
from thinsim.errors import InvalidValueError

MIB = 1 << 20
ONE = DiscardAnswer(DiscardCount(1, MIB), 16, 16, DiscardCount(1, MIB), DiscardCount(1, MIB), MIB)
# The command measures the larger cases, which take longer to write.
QUICK = [case for case in cases() if case.length <= MIB]


def measured(answer: DiscardAnswer, source: str = "Linux 1.2, thin-pool 3") -> MeasuredHeights:
    return MeasuredHeights(source, {"full, 1M": answer})


def test_cases_have_names_of_their_own_and_lie_on_the_device() -> None:
    found = list(cases())
    assert len({case.name for case in found}) == len(found) == 30
    assert all(0 <= case.offset < case.offset + case.length <= DEVICE for case in found)


def test_a_case_includes_the_blocks_at_its_ends() -> None:
    assert DiscardCase(BlockState.FULL, "x", 65536, 65536).blocks() == range(1, 2)
    assert DiscardCase(BlockState.FULL, "x", 65536 + 4096, 65536).blocks() == range(1, 3)


def test_other_bytes_are_distinguished_from_the_same_bytes_in_other_pieces() -> None:
    expected = measured(ONE)
    assert compare_heights(expected, measured(ONE)) == []
    (pieces,) = compare_heights(expected, measured(replace(ONE, data=DiscardCount(16, MIB))))
    assert pieces.in_count_alone
    (fewer,) = compare_heights(expected, measured(replace(ONE, store=DiscardCount(1, MIB - 65536))))
    assert not fewer.in_count_alone
    (blocks,) = compare_heights(expected, measured(replace(ONE, freed=15)))
    assert not blocks.in_count_alone
    assert difference_lines(expected, [pieces, blocks]) == [
        "full, 1M: data: 1 requests, 1048576 bytes on Linux 1.2, 16 requests, 1048576 bytes here",
        "full, 1M: freed: 16 on Linux 1.2, 15 here",
    ]


def test_a_case_that_one_of_them_lacks_is_left_out() -> None:
    assert compare_heights(MeasuredHeights("a", {}), measured(ONE)) == []


def test_answers_read_back_equal_and_other_documents_are_refused(tmp_path: Path) -> None:
    assert from_json(json.loads(json.dumps(to_json(measured(ONE))))) == measured(ONE)
    (tmp_path / "none.json").write_text('{"format": 1}')
    with pytest.raises(InvalidValueError, match=r"none\.json: not a recording of heights: KeyError"):
        read_heights(tmp_path / "none.json")


def test_an_unknown_case_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidValueError, match=r"case 'full, 2M' does not exist; did you mean full, 128M\?"):
        chosen(["full, 2M"])


def test_a_row_shows_the_number_and_the_size_of_requests() -> None:
    answer = replace(ONE, data=DiscardCount(16, MIB), store=DiscardCount(0, 0))
    assert table(measured(answer))[-1].split() == [
        *("1M", "1", "x", "1", "MiB", "16", "blocks", "16", "blocks"),
        *("16", "x", "64", "KiB", "-", "1", "MiB"),
    ]


@pytest.mark.rig
async def test_the_emulated_dm_thin_does_what_kernels_were_recorded_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    found = await measure_on(Side.EMULATED, QUICK, lambda text: None, directory=tmp_path)
    recorded = [read_heights(path) for path in recorded_heights()]
    assert recorded
    for expected in recorded:
        assert found.answers.keys() <= expected.answers.keys()
        # Linux 6.1's own block layer splits a discard that does not begin on a block boundary in two.
        cut = {case.name for case in QUICK if not case.aligned}
        unlike = [
            each
            for each in compare_heights(expected, found)
            if not (each.field == "thin" and each.in_count_alone and each.case in cut)
        ]
        assert difference_lines(expected, unlike) == []
