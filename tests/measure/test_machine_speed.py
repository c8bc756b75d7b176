"""The measure of the machine takes a short time and leaves no file."""

from pathlib import Path

import pytest

from thinsim.measure.machine_speed import reference_seconds


def test_the_reference_is_a_short_time_and_leaves_no_file(tmp_path: Path) -> None:
    assert 0 < reference_seconds(tmp_path) < 10
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reference_seconds(tmp_path / "nowhere")
