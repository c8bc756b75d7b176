"""`libfuse_in_use` finds the libfuse that pyfuse3 loads, and tries the way by which requests reach it.

The channel passes requests for names and attributes to libfuse by a pair of sockets, named ``/dev/fd/N``.
Nothing is mounted for the trial. It runs in a process of its own: pyfuse3 has one session per process.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

_WAY = "a pair of sockets at /dev/fd/N"


@dataclass(frozen=True, slots=True)
class Libfuse:
    """A `Libfuse` is the library that serves names and attributes."""

    version: str
    """The version that the library reports; empty if it does not load."""
    library: str
    """The file of the library; empty if it does not load."""
    way: str
    """The way by which requests reach it; empty if it takes none."""
    failure: str = ""
    """The reason why it does not load or takes no requests, otherwise empty."""

    def __str__(self) -> str:
        found = f"libfuse {self.version} ({self.library})" if self.library else "no libfuse"
        return f"{found}: {self.failure}" if self.failure else f"{found}; requests reach it by {self.way}"


def libfuse_in_use() -> Libfuse:
    """Return the libfuse of this environment, tried in another process."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fuse_backing.libfuse"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return Libfuse(**json.loads(done.stdout))
    except (ValueError, TypeError):
        lines = done.stderr.strip().splitlines()
        return Libfuse("", "", "", lines[-1] if lines else f"the trial ended with status {done.returncode}")


def tried() -> Libfuse:
    """Load pyfuse3 in this process and open a session on a pair of sockets."""
    try:
        import pyfuse3  # noqa: PLC0415 (nothing else here needs it)
    except Exception as error:
        return Libfuse("", "", "", f"pyfuse3 does not load: {error}")
    library = _loaded()
    if library is None:
        return Libfuse("", "", "", "pyfuse3 loads no libfuse3.so")
    version = _version(library)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    device = theirs.detach()
    try:
        pyfuse3.init(pyfuse3.Operations(), f"/dev/fd/{device}", set())
    except Exception as error:
        os.close(device)
        return Libfuse(version, str(library), "", f"it does not take {_WAY}: {error}")
    finally:
        ours.close()
    pyfuse3.close(unmount=False)
    return Libfuse(version, str(library), _WAY)


def _loaded() -> Path | None:
    """Return the file of libfuse that this process has mapped."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.partition("/")[1] + line.partition("/")[2])
        if path.name.startswith("libfuse3"):
            return path
    return None


def _version(library: Path) -> str:
    pkgversion = ctypes.CDLL(str(library)).fuse_pkgversion
    pkgversion.restype = ctypes.c_char_p
    return str(pkgversion().decode())


if __name__ == "__main__":
    print(json.dumps(asdict(tried())))
