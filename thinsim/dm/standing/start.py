"""`ensure_running` starts the machine's emulated device-mapper unless it is running already.

Any number of programs may run ``python -m thinsim.dm.standing.start`` at once: one of them starts the daemon,
the others wait for it.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from thinsim.dm.standing.places import Places
from thinsim.errors import EnvironmentLacksError, ProgramFailedError, ThinsimError
from thinsim.machine.root import is_root

_KEPT_LINES = 20


def main() -> None:
    """Start the daemon; exit with 0 once it answers, with 1 and the reason otherwise."""
    try:
        ensure_running(Places.of_this_user())
    except (ThinsimError, OSError) as error:
        sys.exit(f"thinsim: the emulated device-mapper does not start: {error}")


def ensure_running(places: Places) -> None:
    """Return once a daemon answers; ProgramFailedError with its output if it does not start.

    EnvironmentLacksError without root.
    """
    if not is_root():
        raise EnvironmentLacksError("the emulated device-mapper needs root: run with sudo")
    places.make()
    with _one_at_a_time(places):
        if not answers(places):
            _start(places)


def answers(places: Places) -> bool:
    """Return whether a daemon listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(places.control_device))
        except OSError:
            return False
    return True


def _start(places: Places) -> None:
    read_end, write_end = os.pipe()
    with places.log.open("ab") as output, os.fdopen(read_end) as ready:
        begun = output.tell()
        try:
            daemon = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "thinsim.dm.daemon", "--mountpoint", str(places.volumes)),
                    *("--control", str(places.verbs), "--control-device", str(places.control_device)),
                    *("--registry", str(places.registry), "--ready-fd", str(write_end)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
            )
        finally:
            os.close(write_end)
        line = ready.readline()
    if not line:
        code = daemon.wait()
        with places.log.open("rb") as log:
            log.seek(begun)
            printed = log.read().decode(errors="replace").strip().splitlines()
        raise ProgramFailedError("\n".join(printed[-_KEPT_LINES:]) or f"it ended with status {code}")
    json.loads(line)
    daemon.returncode = 0  # the daemon keeps running: no warning about a child that was not waited for


@contextmanager
def _one_at_a_time(places: Places) -> Iterator[None]:
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
