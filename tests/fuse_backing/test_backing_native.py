"""The C core runs on its own, under the sanitizers: see ``native/native_test.c``."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

NATIVE = REPOSITORY / "fuse_backing" / "native"
CORE = ("account", "channel", "latency", "names", "plane", "punch")
"""The folders that use neither Python nor libfuse."""
WRAPPED = ("ioctl", "fallocate", "pwrite", "read", "pthread_kill", "io_uring_queue_init_params")


@pytest.mark.extents
@pytest.mark.root("its sockets have larger buffers than other users may set")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_c_core_holds_under_the_sanitizers(tmp_path: Path, sanitizer: str) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc with its sanitizers (build-essential)")
    program = tmp_path / "native_test"
    subprocess.run(
        [
            *(compiler, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-O1"),
            *(f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", f"-I{NATIVE}"),
            *(f"-Wl,--wrap={name}" for name in WRAPPED),
            "-pthread",
            *(str(source) for folder in CORE for source in sorted((NATIVE / folder).glob("*.c"))),
            *map(str, sorted((Path(__file__).parent / "native").glob("*.c"))),
            *("-luring", "-o", str(program)),
        ],
        check=True,
        timeout=100,
    )
    result = subprocess.run([program, tmp_path], capture_output=True, text=True, timeout=100, check=False)
    assert (result.returncode, result.stderr) == (0, "")
