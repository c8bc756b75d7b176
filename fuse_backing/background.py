"""`start` starts the server in the background, and waits until it is ready or has failed."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fuse_backing import runtime
from fuse_backing.errors import FuseBackingError

_KEPT_LINES = 20


def start(directory: Path, mountpoint: Path, control: Path, options: list[str]) -> dict[str, object]:
    """Start the foreground server in a session of its own; return its ready line when the mount answers.

    *options* are passed on to ``fuse-backing mount``.

    The server's standard error becomes a log file next to the control socket; the server removes it at its
    end if it is empty. Raises FuseBackingError with the server's last lines if it fails.
    """
    directory_of_logs = runtime.make_runtime_directory()
    log = runtime.log_file(mountpoint)
    read_end, write_end = os.pipe()
    command = [
        *(sys.executable, "-m", "fuse_backing", "mount", str(directory), str(mountpoint), "--foreground"),
        *("--control", str(control), "--ready-fd", str(write_end), "--log", str(log), *options),
    ]
    # The log gets its name only after success: until then, a server that already runs may own that name.
    descriptor, name = tempfile.mkstemp(dir=directory_of_logs, prefix="starting-", suffix=".log")
    starting_log = Path(name)
    with os.fdopen(descriptor, "wb") as output, os.fdopen(read_end) as ready:
        try:
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                pass_fds=(write_end,),
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        try:
            line = ready.readline()
        except BaseException:
            server.terminate()
            server.wait()
            starting_log.unlink()
            raise
    if not line:
        code = server.wait()
        lines = starting_log.read_text(errors="replace").strip().splitlines()
        starting_log.unlink()
        text = "\n".join(lines[-_KEPT_LINES:]).removeprefix("Error: ")
        raise FuseBackingError(text or f"the server ended with status {code} before it was ready")
    starting_log.rename(log)
    server.returncode = 0  # the server keeps running; without this, Popen would warn about it
    answer: dict[str, object] = json.loads(line)
    return answer
