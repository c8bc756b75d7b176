"""`measured_in_guest` compares the kernel's dm-thin with a loop device, in a throw-away guest."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.early_end import run_shown
from benchmarks.thin_contenders import KERNEL

REPOSITORY = Path(__file__).resolve().parent.parent
SCRATCH = "/run/thinsim-scratch"
SECONDS = 7200


def measured_in_guest(words: Sequence[str], base: Path | None) -> Any:
    """Run this benchmark in a guest with the options *words*, and return its document.

    The guest has a kernel of the distribution with dm-thin, and a disk of its own. RuntimeError if the guest
    does not start, or the benchmark fails in it; EndedEarlyError after a signal.
    """
    with tempfile.TemporaryDirectory(prefix="thinsim-bench-guest-", dir=base) as name:
        shared = Path(name).resolve()
        document = shared / "guest.json"
        in_guest = [
            *("env", f"PYTHONPATH={REPOSITORY}"),
            *(sys.executable, "-m", "benchmarks.thin", "--only", KERNEL, "--dir", SCRATCH),
            *("--json", str(document), *words),
        ]
        guest = ("vm", "run", "--timeout", str(SECONDS), "--share", str(shared), "--", *in_guest)
        status = run_shown([sys.executable, "-m", "thinsim", *guest], REPOSITORY)
        if not document.exists():
            raise RuntimeError(f"the benchmark in the guest ended with status {status}; its error is above")
        return json.loads(document.read_text())
