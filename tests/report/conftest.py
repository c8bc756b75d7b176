"""The fixtures run scenarios and return their reports."""

from pathlib import Path

import pytest

from tests.report.scenario_report import run_library
from thinsim.report.document import Report


@pytest.fixture(scope="session")
def image_removal(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_library("image-removal", tmp_path_factory.mktemp("image-removal"))


@pytest.fixture(scope="session")
def lying_device(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_library("lying-device", tmp_path_factory.mktemp("lying-device"))


@pytest.fixture(scope="session")
def report_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")
