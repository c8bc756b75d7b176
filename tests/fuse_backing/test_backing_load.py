"""The C extension needs no libfuse, and interfaces import neither it nor pyfuse3."""

import pkgutil
import subprocess
import sys

import fuse_backing
from tests.fuse_backing.backing_store import DEADLINE
from tests.repository import REPOSITORY

SERVING = {
    "fuse_backing.extension",
    "fuse_backing.shortcut",
    "fuse_backing.injection",
    "fuse_backing.changes",
    "fuse_backing.channel_options",
    "fuse_backing.data_requests",
    "fuse_backing.operations",
    "fuse_backing.session",
    "fuse_backing.inode",
    "fuse_backing.inodes",
    "fuse_backing.count_commands",
    "fuse_backing.file_commands",
    "fuse_backing.filesystem",
    "fuse_backing.store_server",
    "fuse_backing.server",
}
"""The modules of the server. All others, including the ledger's, can be imported without the extension."""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        cwd=REPOSITORY,
    )


def test_the_commands_that_only_ask_do_not_load_fuse() -> None:
    result = run_python(
        "import sys, fuse_backing.cli, fuse_backing.display, fuse_backing.unmounting;"
        "assert not {'pyfuse3', 'fuse_backing._native'} & set(sys.modules)"
    )
    assert result.returncode == 0, result.stderr


def test_no_module_that_others_import_for_values_loads_c_or_fuse() -> None:
    names = {found.name for found in pkgutil.walk_packages(fuse_backing.__path__, "fuse_backing.")}
    assert names >= SERVING
    light = names - SERVING - {"fuse_backing._native", "fuse_backing.__main__"}
    assert light >= {
        f"fuse_backing.{name}" for name in ("events", "faults", "store_client", "errors", "control")
    }
    result = run_python(
        f"import sys, {', '.join(sorted(light))}\n"
        "assert not {'fuse_backing._native', 'pyfuse3'} & set(sys.modules)\n"
    )
    assert result.returncode == 0, result.stderr


def test_a_ledger_loads_the_extension_and_leaves_libfuse_alone() -> None:
    result = run_python(
        "import sys, fuse_backing.ledger\n"
        "fuse_backing.ledger.Ledger().record\n"
        "assert 'fuse_backing._native' in sys.modules and 'pyfuse3' not in sys.modules\n"
        "assert not any('fuse3' in line for line in open('/proc/self/maps'))\n"
    )
    assert result.returncode == 0, result.stderr
