"""`run` starts one of Debian's thin-provisioning-tools; `thin_check` checks a metadata device in memory."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.thin.ram_store import RamStore

needs_tools = pytest.mark.skipif(
    shutil.which("thin_check") is None,
    reason="thin_check is missing; install thin-provisioning-tools (make packages)",
)


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def thin_check(store: RamStore, path: Path) -> str:
    """Return the complaints of thin_check, empty if it has none."""
    done = run("thin_check", store.save(path))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def output_of(tool: str, *arguments: str | Path) -> str:
    done = run(tool, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(path: Path) -> RamStore:
    """Return a metadata device with the content of a file."""
    content = path.read_bytes()
    store = RamStore(len(content) // 4096)
    for block in range(store.blocks):
        part = content[block * 4096 : (block + 1) * 4096]
        if any(part):
            store.content[block] = part
    return store
