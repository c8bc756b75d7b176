"""The folders of the tests mirror the packages."""

from pathlib import Path

import pytest

from tests.repository import REPOSITORY, TESTS

NOT_OF_THINSIM = {"docs": "docs", "fuse_backing": "fuse_backing"}
"""Folders of tests for other parts than thinsim: folder of the tests, folder of the repository."""

FOLDERS = sorted(path.parent.relative_to(TESTS) for path in TESTS.rglob("__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_has_the_name_of_a_package(folder: Path) -> None:
    if folder.parts and folder.parts[0] in NOT_OF_THINSIM:
        assert (REPOSITORY / NOT_OF_THINSIM[folder.parts[0]] / Path(*folder.parts[1:])).is_dir()
    else:
        assert (REPOSITORY / "thinsim" / folder / "__init__.py").exists()


def test_every_package_has_a_folder_of_tests() -> None:
    packages = {path.parent.name for path in (REPOSITORY / "thinsim").glob("*/__init__.py")}
    assert packages - {str(folder) for folder in FOLDERS} == set()


def test_only_one_module_has_the_place_of_the_repository() -> None:
    files = [path.relative_to(TESTS) for path in TESTS.rglob("*.py") if path != Path(__file__)]
    looking = [file for file in files if ".parents[" in (TESTS / file).read_text()]
    assert [str(file) for file in looking] == []
