"""C structures have one name each, and C folders include only lower ones."""

import re
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

NATIVE = REPOSITORY / "fuse_backing" / "native"
FOLDERS = ["protocol", "account", "punch", "latency", "names", "plane", "channel", "binding"]
"""The folders from the lowest; a folder includes its own headers and those of folders before it."""


def sources(*roots: Path) -> list[Path]:
    return sorted(file for root in roots for suffix in ("*.c", "*.h") for file in root.rglob(suffix))


def test_one_structure_has_one_name() -> None:
    named: dict[str, list[str]] = {}
    for file in sources(REPOSITORY / "fuse_backing", REPOSITORY / "thinsim", REPOSITORY / "tests"):
        text = file.read_text(encoding="utf-8")
        tags = re.findall(r"\b(?:struct|union|enum) (\w+) \{", text)
        types = [name for name in re.findall(r"^\} (\w+);", text, re.MULTILINE) if "typedef" in text]
        for name in {*tags, *types}:
            named.setdefault(name, []).append(file.name)
    assert {name: files for name, files in named.items() if len(files) > 1} == {}


def test_every_folder_is_known_and_documented() -> None:
    assert sorted(path.name for path in NATIVE.iterdir() if path.is_dir()) == sorted(FOLDERS)
    for folder in FOLDERS:
        assert (NATIVE / folder / f"{folder}.h").read_text(encoding="utf-8").startswith("/* ")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_includes_nothing_above_it(folder: str) -> None:
    allowed = FOLDERS[: FOLDERS.index(folder)]
    for file in sources(NATIVE / folder):
        for path in re.findall(r'#include "(\S+)"', file.read_text(encoding="utf-8")):
            assert "/" not in path or path.partition("/")[0] in allowed, f"{file.name} includes {path}"
