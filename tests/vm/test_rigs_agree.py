"""A guest's kernel and the emulated dm-thin have the same blocks and host bytes after every step.

Both run live with real file systems and the same image. An emulated guest takes minutes, so this runs only
with THINSIM_LONG_CAMPAIGN=1 (``make same-counts``). THINSIM_GUEST_KERNEL chooses a kernel; the default is the
newest.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinsim.scenario.containerd.builds import INSTALLED
from thinsim.vm.probe import probe_guest

LACKS = [f"{each.name}: {each.detail} (fix: {each.fix})" for each in probe_guest() if not each.present]
PROGRAMS = [f"{name} (fix: {fix})" for name, fix in INSTALLED.items() if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(not os.environ.get("THINSIM_LONG_CAMPAIGN"), reason="minutes: make same-counts"),
    pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS) or "nothing"),
]

MEASURED = ("pool_used_blocks", "pool_freed", "host_allocated", "host_freed", "ledger_freed", "leaked")


@pytest.mark.parametrize(
    "subject",
    [
        "core",
        pytest.param(
            "containerd", marks=pytest.mark.skipif(bool(PROGRAMS), reason="; ".join(PROGRAMS) or "-")
        ),
    ],
)
def test_the_kernels_pool_and_the_emulated_one_have_the_same_numbers_after_every_step(
    subject: str, tmp_path: Path
) -> None:
    emulated = measured("emulated", subject, tmp_path)
    kernel = measured("vm", subject, tmp_path)
    assert len(emulated) > len(MEASURED)
    assert kernel == emulated


def measured(rig: str, subject: str, directory: Path) -> list[dict[str, Any]]:
    """Return the measurements after each step of each setting."""
    result = directory / f"{rig}.json"
    words = ["reproduce", "--subject", subject, "--repeatable", "--container-mb", "20", "--json", str(result)]
    release = os.environ.get("THINSIM_GUEST_KERNEL")
    guest = ["--guest-kernel", release] if rig == "vm" and release else []
    subprocess.run(
        [sys.executable, "-m", "thinsim", *words, "--rig", rig, *guest], check=True, timeout=4 * 1800
    )
    return [
        {"setting": run["setting"], **{name: sample[name] for name in ("phase", "step", *MEASURED)}}
        for run in json.loads(result.read_text())["runs"]
        for sample in run["samples"]
    ]
