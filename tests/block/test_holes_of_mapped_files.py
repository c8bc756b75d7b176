"""A hole that is read through a mapping takes space on tmpfs, and nowhere that `holes_stay_free` accepts."""

import mmap
import os
import subprocess
from pathlib import Path

import pytest

from tests.host_file_systems import host_file_system, missing_for
from thinsim.block.loop_file import holes_stay_free

MIB = 1 << 20


@pytest.mark.rig
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_a_hole_takes_no_space_where_files_are_mapped(tmp_path: Path, kind: str) -> None:
    missing = missing_for(kind)
    if missing is not None:
        pytest.skip(missing)
    with host_file_system(kind, tmp_path) as host:
        file = host.directory / "file"
        with file.open("xb+") as sparse:
            sparse.truncate(MIB)
            before = os.fstat(sparse.fileno()).st_blocks
            with mmap.mmap(sparse.fileno(), MIB, prot=mmap.PROT_READ) as content:
                assert content[:] == bytes(MIB)
                subprocess.run(["sync", "-f", file], check=True)
                takes_space = os.fstat(sparse.fileno()).st_blocks > before
        assert takes_space == (kind == "tmpfs")
        assert holes_stay_free(file) == (not takes_space)


def test_an_unknown_file_system_is_not_trusted() -> None:
    assert not holes_stay_free(Path("/proc/self/status"))
