"""`install` writes the drop-in dmsetup, which runs the machine's own dmsetup with the preloaded library."""

import os
import shlex
import sys
from pathlib import Path

from thinsim.dm.dropin.library import preloaded_library
from thinsim.dm.standing.places import Places
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper, real_dmsetup
from thinsim.machine.sockets import RUNTIME_VARIABLE
from thinsim.machine.state import STATE_VARIABLE

_SETTINGS = (STATE_VARIABLE, RUNTIME_VARIABLE, "PYTHONPATH")

_SCRIPT = """#!/bin/sh
# The drop-in dmsetup runs the real one on the emulated device-mapper. Written by `thinsim env`.
{guard}export THINSIM_DM_CONTROL={control} THINSIM_DM_START={start}
LD_PRELOAD={library}${{LD_PRELOAD:+:$LD_PRELOAD}} exec {dmsetup} "$@"
"""

_GUARD = """while read -r _ name; do
    if [ "$name" = device-mapper ]; then
        echo "thinsim: this kernel has a device-mapper: use its own dmsetup, {dmsetup}" >&2
        echo "(to use the emulated device-mapper as well: thinsim env --beside-kernel)" >&2
        exit 1
    fi
done </proc/misc
"""


def install(places: Places, *, beside_kernel: bool = False) -> dict[str, str]:
    """Write the script and return the environment that puts it first in PATH.

    EnvironmentLacksError if the kernel has a device-mapper (unless *beside_kernel*), or if dmsetup or the
    library is missing.
    """
    if kernel_has_device_mapper() and not beside_kernel:
        raise EnvironmentLacksError(
            "this kernel has a device-mapper: use its own dmsetup, "
            "or add --beside-kernel to use the emulated one as well"
        )
    places.make()
    starter = places.programs / "start-device-mapper"
    # dmsetup may run in another environment than this process.
    settings = "".join(
        f"export {name}={shlex.quote(os.environ[name])}\n" for name in _SETTINGS if name in os.environ
    )
    start = f"exec {shlex.quote(sys.executable)} -P -m thinsim.dm.standing.start"  # words: quoted
    _write(starter, f"#!/bin/sh\n{settings}{start}\n")
    return write_dropin(places.programs, places.control_device, starter, guarded=not beside_kernel)


def write_dropin(
    programs: Path, control_device: Path, starter: Path | None = None, *, guarded: bool = False
) -> dict[str, str]:
    """Write the script into *programs* and return the environment that puts it first in PATH.

    The script connects to the daemon at *control_device*, and runs *starter* if none answers. A *guarded*
    script refuses to run on a kernel that has a device-mapper.
    """
    dmsetup = shlex.quote(str(real_dmsetup(programs)))
    script = _SCRIPT.format(
        guard=_GUARD.format(dmsetup=dmsetup) if guarded else "",
        control=shlex.quote(str(control_device)),
        start=shlex.quote(str(starter or "")),
        library=shlex.quote(str(preloaded_library())),
        dmsetup=dmsetup,
    )
    _write(programs / "dmsetup", script)
    paths = [path for path in os.environ.get("PATH", os.defpath).split(":") if path != str(programs)]
    return {"PATH": ":".join([str(programs), *paths])}


def _write(path: Path, text: str) -> None:
    """Replace a script as a whole: another process may be about to run it."""
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)
