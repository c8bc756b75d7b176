"""`run` starts one of Debian's thin-provisioning-tools; `thin_check` checks a metadata device in memory."""

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.thin.ram_store import RamStore
from thinsim.thin.metadata.dump_reading import lines_of_0_9

needs_tools = pytest.mark.skipif(
    shutil.which("thin_check") is None,
    reason="thin_check is missing; install thin-provisioning-tools (make packages)",
)


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def thin_check(store: RamStore, path: Path, *, leaks: bool = False) -> str:
    """Return the complaints of thin_check, empty if it has none.

    With *leaks*, data blocks may have references without a mapping. From 1.0 on, thin_check reports them.
    """
    done = run("thin_check", *(["--ignore-non-fatal-errors"] if leaks else []), store.save(path))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def output_of(tool: str, *arguments: str | Path) -> str:
    done = run(tool, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def thin_dump(*arguments: str | Path) -> str:
    """Return what thin_dump prints, in the form of version 0.9."""
    return lines_of_0_9(output_of("thin_dump", *arguments))


@functools.cache
def dumps_misplaced_nodes() -> bool:
    """Return whether thin_dump follows valid nodes in wrong places, as 1.0 and later do."""
    return not output_of("thin_dump", "--version").startswith("0.")


def load(path: Path) -> RamStore:
    """Return a metadata device with the content of a file."""
    content = path.read_bytes()
    store = RamStore(len(content) // 4096)
    for block in range(store.blocks):
        part = content[block * 4096 : (block + 1) * 4096]
        if any(part):
            store.content[block] = part
    return store
