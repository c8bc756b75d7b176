"""``python -m benchmarks.thin_guest`` compares the kernel's dm-thin with a loop device, in a guest.

It needs root, fio and make setup-vm. The sizes are small: without KVM a round takes five minutes.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import early_end
from benchmarks.thin_contenders import KERNEL
from benchmarks.turns import write
from thinsim.cli.statuses import FAILED, INTERRUPTED

REPOSITORY = Path(__file__).resolve().parent.parent
SCRATCH = "/run/thinsim-scratch"
SECONDS = 7200


def measured_in_guest(rounds: int, rows: Sequence[str], base: Path | None) -> Any:
    """Measure *rows*, or all, in a guest, and return the document of ``benchmarks.thin`` there.

    The guest has a kernel of the distribution with dm-thin, and a disk of its own. RuntimeError if the guest
    does not start, or the benchmark fails in it; EndedEarlyError after a signal.
    """
    with tempfile.TemporaryDirectory(prefix="thinsim-bench-guest-", dir=base) as name:
        shared = Path(name).resolve()
        document = shared / "guest.json"
        in_guest = [
            *("env", f"PYTHONPATH={REPOSITORY}"),
            *(sys.executable, "-m", "benchmarks.thin", "--only", KERNEL, "--dir", SCRATCH),
            *("--json", str(document), "--quick", "--rounds", str(rounds)),
            *(part for row in rows for part in ("--row", row)),
        ]
        guest = ("vm", "run", "--timeout", str(SECONDS), "--share", str(shared), "--", *in_guest)
        status = early_end.run_shown([sys.executable, "-m", "thinsim", *guest], REPOSITORY)
        if not document.exists():
            raise RuntimeError(f"the benchmark in the guest ended with status {status}; its error is above")
        return json.loads(document.read_text())


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--row", "rows", multiple=True, help="Measure only the first row and rows whose name has this.")
@click.option("--dir", "base", type=click.Path(path_type=Path, exists=True), help="Directory for the files.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(rounds: int, rows: tuple[str, ...], base: Path | None, json_path: Path | None) -> None:
    with early_end.heeding_signals():
        try:
            write(measured_in_guest(rounds, rows, base), json_path)
        except early_end.EndedEarlyError:
            sys.exit(INTERRUPTED)
        except RuntimeError as error:
            click.echo(str(error), err=True)
            sys.exit(FAILED)


if __name__ == "__main__":
    main()
