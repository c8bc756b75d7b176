"""Writes the guest's script: loads modules, mounts the scratch disk, runs the command, keeps its status.

Pure text; ``thinsim.vm.guest`` boots a guest on it. What the guest reports it writes into the shared
directory: ``booted`` when the script begins, ``status`` with the command's exit status when it has ended.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

BOOTED = "booted"
STATUS = "status"
SCRATCH = Path("/run/thinsim-scratch")
"""Where the guest mounts the scratch disk: ext4, which punches holes and has extent maps."""

SCRATCH_SERIAL = "thinsim-scratch"
STATE = Path("/run/thinsim-state")
"""The guest's own state directory: it sees the host's files, and would take the host's runs for abandoned."""

HOST_TAG = "thinsim-host"
HOST_ROOT = Path("/run/thinsim-host")
_ASIDE = "/run/thinsim-aside"

_MODULES = ("dm-thin-pool", "loop", "fuse", "ext4", "virtio-blk")


def guest_script(
    shared: Path,
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    shares: Sequence[Path] = (),
    cached: Sequence[Path] = (),
) -> str:
    """Return the script that runs *command* in *directory* and reports into *shared*.

    *cached* are directories that the guest reads with a cache, since they don't change meanwhile:
    its root file system has none, and a Python that starts looks at thousands of files. *shares* stay
    visible where they are below one of them.
    """
    lines = [
        "# Generated for one guest.",
        f": > {_quote(shared / BOOTED)}",
        *(f"modprobe -q {module}" for module in _MODULES),
        # Nobody plugs anything in. Where there is a udevd, every dmsetup waits for it, and its probes keep
        # devices busy at any time: two runs would differ. Without it dmsetup makes the nodes itself.
        # An ended udevd leaves the socket by which libdm tells that one runs, and waits for it for ever.
        "udevadm control --exit >/dev/null 2>&1; rm -f /run/udev/control",
        f"mkdir -p /dev/mapper {SCRATCH} {STATE} {HOST_ROOT}",
        f"for disk in $(grep -lsx {SCRATCH_SERIAL} /sys/block/vd*/serial); do",
        f'    disk=${{disk%/serial}}; mount -t ext4 "/dev/${{disk##*/}}" {SCRATCH}',
        "done",
    ]
    if cached:
        options = "ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose"
        lines.append(f"if mount -t 9p -o {options} {HOST_TAG} {HOST_ROOT}; then")
        for path in cached:
            hidden = [share for share in shares if share.is_relative_to(path)]
            for number, share in enumerate(hidden):
                lines.append(
                    f"    mkdir -p {_ASIDE}{number} && mount --bind {_quote(share)} {_ASIDE}{number}"
                )
            lines.append(f"    mount --bind {_quote(HOST_ROOT / path.relative_to('/'))} {_quote(path)}")
            for number, share in enumerate(hidden):
                lines.append(f"    mount --move {_ASIDE}{number} {_quote(share)}")
        lines.append("fi")
    variables = {**environment, "THINSIM_STATE_DIR": str(STATE), "DM_DISABLE_UDEV": "1"}
    lines += [
        f"cd {_quote(directory)} || exit",
        shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *command]),
        f"echo $? > {_quote(shared / STATUS)}.new",
        f"mv {_quote(shared / STATUS)}.new {_quote(shared / STATUS)}",
        "sync",
    ]
    return "\n".join(lines) + "\n"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
