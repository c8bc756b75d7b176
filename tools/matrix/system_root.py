"""A `SystemRoot` is a directory with a system of its own, whose programs run as on such a machine.

They run in mount and process namespaces of their own, with pivot_root(2): runc refuses a chroot. The kernel,
its devices and the network are this machine's. When the first program ends, the kernel ends all others and
unmounts everything.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIGURATION = Path("/etc/pip.conf")
REPOSITORY = Path(__file__).resolve().parent.parent.parent
CLONE = "/srv/thinsim"
"""The place of the clone in the root."""
_ENDING_SECONDS = 60
"""Programs that were interrupted get this time to clean up."""

_INCLUDED = ("ca-certificates", "git", "make", "python3")
"""A newcomer has these; README names what else is needed, or make gets it."""
_ENTER = """set -e
root=$1 tmp=$2 directory=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount --rbind /dev dev
# No node of an emulated device is shared with runs outside. The kernel's own device-mapper needs its control;
# a node of that name exists wherever dmsetup has run.
grep -qw device-mapper /proc/misc || { mkdir -p dev/mapper; mount -t tmpfs tmpfs dev/mapper; }
mount --rbind /sys sys
mount -t proc proc proc
mount -t tmpfs tmpfs run
[ "$tmp" = disk ] || mount -t tmpfs tmpfs tmp
mkdir -p .before
pivot_root . .before
umount -l /.before
cd "$directory"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class SystemRoot:
    """A `SystemRoot` has its files in *path*."""

    path: Path

    def run(
        self, command: Sequence[str], log: Path, *, tmpfs: bool = False, directory: str = "/", seconds: int
    ) -> int:
        """Run *command* as root of the system, and return its status; 124 after *seconds*.

        Its output is appended to *log*. With *tmpfs*, /tmp is one. The variables THINSIM_... of this
        process are set there.
        """
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("THINSIM_")},
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "dumb",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        enter = ["sh", "-c", _ENTER, "enter", str(self.path), "tmpfs" if tmpfs else "disk", directory]
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", *enter, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return 124
            finally:
                if process.poll() is None:
                    _end(process)

    def commit(self) -> str:
        """Return the short name of the commit that is checked out in the clone."""
        command = ["git", "-C", f"{self.path}{CLONE}", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def answer(self, command: Sequence[str]) -> str:
        """Return the first line of what *command* prints in the system, or nothing if it fails."""
        done = subprocess.run(
            ["chroot", str(self.path), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            check=False,
        )
        lines = done.stdout.splitlines()
        return lines[0].strip() if lines and done.returncode == 0 else ""


def base_of(suite: str, directory: Path, log: Path) -> Path:
    """Return the root of a fresh system of *suite*; make it in *directory* unless it is there.

    CalledProcessError if debootstrap fails.
    """
    base = directory / suite
    if (base / "etc/apt/apt.conf.d/90matrix").exists():
        return base
    shutil.rmtree(base, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(_INCLUDED)}",
        suite,
        str(base),
        MIRROR,
    ]
    with log.open("ab") as output:
        subprocess.run(command, stdout=output, stderr=output, check=True)
    # This machine's certificates: its network may have an authority of its own.
    shutil.copy2(CERTIFICATES, base / str(CERTIFICATES).lstrip("/"))
    shutil.copy2("/etc/resolv.conf", base / "etc/resolv.conf")
    # pip must find its index there as it does here.
    if PIP_CONFIGURATION.exists():
        shutil.copy2(PIP_CONFIGURATION, base / str(PIP_CONFIGURATION).lstrip("/"))
    # systemd makes this link at boot, and a container's runtime at its start.
    (base / "etc/mtab").symlink_to("../proc/self/mounts")
    # The system is discarded, so dpkg need not wait for the disk.
    (base / "etc/dpkg/dpkg.cfg.d/90matrix").write_text("force-unsafe-io\n")
    # A mirror may keep an index of sid beyond its date.
    (base / "etc/apt/apt.conf.d/90matrix").write_text('Acquire::Check-Valid-Until "false";\n')
    return base


@contextmanager
def copied(base: Path, to: Path) -> Iterator[SystemRoot]:
    """Copy a root with a clone of this repository in it, and remove the copy at the end."""
    try:
        subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(to)], check=True)
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), f"{to}{CLONE}"], check=True)
        yield SystemRoot(to)
    finally:
        if os.path.ismount(to):  # it never is: the mounts are in other namespaces
            raise RuntimeError(f"{to} is a mount point: remove it by hand")
        shutil.rmtree(to, ignore_errors=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt the programs of a system, so that they detach their loop devices, and then kill them.

    Loop devices belong to this machine, and do not end with the system.
    """
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # unshare's child is the first of its namespace: all others end with it
        process.wait()
