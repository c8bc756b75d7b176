"""`run_fio` lets fio write to parts of devices and verify what it has written, many requests at a time."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

needs_fio = pytest.mark.skipif(
    shutil.which("fio") is None, reason="fio is not installed (apt-get install fio)"
)

_COMMON = (
    # Random writes; each one is read and verified after at most 32 others.
    *("rw=randwrite", "verify=crc32c", "verify_backlog=32", "verify_fatal=1", "serialize_overlap=1"),
    *("bsrange=4k-1m", "ioengine=libaio", "direct=1", "iodepth=8", "fsync=32"),
    *("time_based=1", "thread=1", "allow_mounted_write=0"),
)


@dataclass(frozen=True, slots=True)
class FioPart:
    """A `FioPart` is a range of bytes of a device that fio has for itself."""

    device: Path
    offset: int
    size: int


async def run_fio(parts: Sequence[FioPart], directory: Path, seconds: float, seed: int) -> tuple[int, int]:
    """Let fio write and verify *parts* for *seconds*. Return the bytes written, and those verified.

    AssertionError: fio found wrong bytes, or a request failed.
    """
    lines = ["[global]", *_COMMON, f"runtime={int(seconds * 1000)}ms", f"randseed={seed}"]
    for number, part in enumerate(parts):
        lines += [f"[part-{number}]", f"filename={part.device}", f"offset={part.offset}", f"size={part.size}"]
    (directory / "verify.fio").write_text("\n".join(lines) + "\n")
    done = await trio.run_process(
        ["fio", "--output-format=json", "verify.fio"],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"fio ended with {done.returncode}: {text[-3000:]}"
    jobs = json.loads(text[text.index("{") :])["jobs"]
    assert [job["error"] for job in jobs] == [0] * len(parts)
    return sum(job["write"]["io_bytes"] for job in jobs), sum(job["read"]["io_bytes"] for job in jobs)
