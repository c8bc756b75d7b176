"""The built C libraries are hardened, and export only the functions that others must find."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fuse_backing.extension import native
from thinsim.dm.dropin.library import preloaded_library

LIBRARIES = {"extension": Path(str(native.__file__)), "drop-in": preloaded_library()}


@pytest.fixture(params=LIBRARIES)
def built(request: pytest.FixtureRequest) -> Path:
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf (binutils)")
    return LIBRARIES[request.param]


def readelf(option: str, file: Path) -> str:
    return subprocess.run(
        ["readelf", "--wide", option, file], check=True, capture_output=True, text=True, timeout=30
    ).stdout


def test_all_functions_are_bound_at_load_and_the_tables_read_only(built: Path) -> None:
    assert re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*NOW", readelf("--dynamic", built))
    assert "GNU_RELRO" in readelf("--segments", built)
    assert "TEXTREL" not in readelf("--dynamic", built)


def test_no_stack_is_executable(built: Path) -> None:
    [stack] = [line for line in readelf("--segments", built).splitlines() if "GNU_STACK" in line]
    assert "RW " in stack
    assert "RWE" not in stack


def test_stacks_are_guarded_and_copies_checked(built: Path) -> None:
    names = readelf("--dyn-syms", built)
    assert "__stack_chk_fail" in names
    if platform.libc_ver()[0] == "glibc":
        assert re.search(r"__(memcpy|memset|snprintf|fprintf)_chk", names)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86 processor")
def test_functions_are_targets_of_indirect_branches(built: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump (binutils)")
    code = subprocess.run(
        ["objdump", "--disassemble", "--section=.text", built],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    assert "endbr64" in code


def test_only_functions_that_others_must_find_are_exported() -> None:
    exported = {
        line.split()[-1].partition("@")[0]
        for line in readelf("--dyn-syms", LIBRARIES["extension"]).splitlines()
        if re.search(r"GLOBAL\s+DEFAULT\s+\d+ ", line)
    }
    assert exported == {"PyInit__native"}
