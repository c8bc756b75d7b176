"""`run_apart` runs a scenario with another installation of thinsim, as a program of its own."""

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.statuses import BROKEN, DONE
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.report.document import Report, from_json


def run_apart(thinsim: Sequence[str], scenario: Path, rig: str, directory: Path | None) -> Report:
    """Run *scenario* with the command *thinsim* and return its report; the block counts are repeatable.

    EnvironmentLacksError if there is no such command, ProgramFailedError with its message if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="thinsim-ci-") as place:
        document = Path(place) / "report.json"
        where = [] if directory is None else ["--dir", str(directory)]
        words = ["run", str(scenario), "--rig", rig, "--repeatable", "--json", str(document), *where]
        run_interruptible(lambda: _carry_out([*thinsim, *words]), quiet=True)
        return from_json(document.read_text(), f"the report of {shlex.join(thinsim)}")


async def _carry_out(command: Sequence[str]) -> None:
    try:
        done = await trio.run_process(
            command, stdout=subprocess.DEVNULL, capture_stderr=True, check=False, deliver_cancel=_end
        )
    except FileNotFoundError:
        raise EnvironmentLacksError(f"--against: the program {command[0]} does not exist") from None
    except OSError as error:
        raise EnvironmentLacksError(f"--against: cannot run {command[0]}: {error.strerror}") from None
    if done.returncode not in (DONE, BROKEN):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "it printed nothing"
        raise ProgramFailedError(f"{shlex.join(command)}: exit status {done.returncode}: {last}")


async def _end(process: trio.Process) -> None:
    # The program removes what it made before it ends, however long that takes.
    process.terminate()
    with trio.CancelScope(shield=True):
        await process.wait()
