"""`guest_script` writes the guest's script: load modules, mount the scratch disk, run the command.

The result is only text; ``thinsim.vm.guest`` boots a guest with it. The guest reports through files in the
shared directory. It makes ``booted`` when the script begins, and ``status``, with the command's exit status,
when the command has ended. When the host makes ``interrupt``, the command gets SIGTERM.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

BOOTED = "booted"
STATUS = "status"
INTERRUPT = "interrupt"
SCRATCH = Path("/run/thinsim-scratch")
"""Mount point of the scratch disk in the guest: ext4, which punches holes and has extent maps."""

SCRATCH_SERIAL = "thinsim-scratch"
STATE = Path("/run/thinsim-state")
"""The guest's own state directory. In the host's it would see the host's runs and think them abandoned."""

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

    *cached* are directories that do not change while the guest runs, so that it may cache them. Its root file
    system is not cached, and Python looks at thousands of files when it starts. *shares* below a cached
    directory stay visible.
    """
    lines = [
        "# Generated for one guest.",
        f": > {_quote(shared / BOOTED)}",
        *(f"modprobe -q {module}" for module in _MODULES),
        # A guest has no hotplug and needs no udevd. With one, every dmsetup waits for it, and its probes make
        # devices busy at random times, so that two runs would differ. Without one, dmsetup makes the nodes.
        # udevd leaves its control socket behind; libdm would take it for a running udevd and wait forever.
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
        f"{shlex.join(['env', *(f'{name}={value}' for name, value in variables.items()), *command])} &",
        "command=$!",
        f"(until [ -e {_quote(shared / INTERRUPT)} ]; do sleep 1; done; kill -TERM $command) &",
        "watch=$!",
        "disown $watch",  # otherwise bash prints that it was killed
        "wait $command",
        "status=$?",
        "kill $watch 2>/dev/null",
        f"echo $status > {_quote(shared / STATUS)}.new",
        f"mv {_quote(shared / STATUS)}.new {_quote(shared / STATUS)}",
        "sync",
    ]
    return "\n".join(lines) + "\n"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
