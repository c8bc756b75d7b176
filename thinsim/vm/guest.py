"""`run_in_guest` boots a guest with virtme-ng on a copy-on-write view of this machine, for one command.

The guest sees every file of the host and may change its own view of it. Its changes are lost at its end,
except below the shared directories. It has no network. Backing files belong on the scratch disk (``SCRATCH``
in ``thinsim.vm.guest_script``): shared directories are 9p, which has no hole punching.
"""

import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.errors import EnvironmentLacksError, InvalidValueError, ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.programs import find_program, full_path
from thinsim.machine.state import ProcessIdentity
from thinsim.units import Bytes
from thinsim.vm.busybox import find_busybox
from thinsim.vm.guest_script import BOOTED, HOST_TAG, INTERRUPT, SCRATCH_SERIAL, STATUS, guest_script
from thinsim.vm.kernels import GuestKernel
from thinsim.vm.tools import virtme_ng

_INHERITED = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TERM", "THINSIM_SHARED_MACHINE")
_BOOT_SECONDS = {True: 60, False: 300}
_CLEANUP_SECONDS = {True: 20, False: 60}
"""The time that an interrupted command has to clean up and to write what it measured."""
_MEMORY = Bytes(2 << 30)
_SCRATCH = Bytes(16 << 30)
_KEPT = 4096
_UNSHAREABLE = set(" \t\n,=:'\"\\")

Output = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A `GuestSpec` describes a guest to boot.

    *memory* and *scratch* (the size of the scratch disk) are bytes; *shares* are directories that host and
    guest both write.
    """

    kernel: GuestKernel
    kvm: bool
    memory: Bytes = _MEMORY
    scratch: Bytes = _SCRATCH
    cpus: int = 2
    shares: tuple[Path, ...] = ()
    boot_seconds: float | None = None


async def run_in_guest(
    spec: GuestSpec,
    command: Sequence[str],
    directory: Path,
    journal: Journal,
    *,
    out: Output,
    err: Output,
    cwd: Path | None = None,
    seconds: float = math.inf,
) -> int:
    """Boot a guest, run *command* in it as root, and power it off.

    Returns the exit status of *command* (128 + N for signal N). *directory* exists, belongs to the run and
    takes the guest's files. *out* and *err* receive the output of *command* as it is written. The guest never
    outlives this call. Before it is killed, *command* gets SIGTERM and some time to end. Raises
    ProgramFailedError if the guest does not boot in time, if the command does not finish within *seconds*, or
    if the guest exits before the command has finished.
    """
    shared = directory / "guest"
    shared.mkdir(mode=0o700)
    for share in (shared, *spec.shares):
        _check_share(share)
    (shared / "script").write_text(
        guest_script(
            shared,
            command,
            directory=cwd or Path.cwd(),
            environment=_guest_environment(),
            shares=(shared, *spec.shares),
            cached=_unchanging(),
        )
    )
    console = directory / "console.log"
    scratch = directory / "scratch.img"
    await _make_scratch(scratch, spec.scratch)
    arguments = _arguments(spec, shared, scratch, console)
    entry = journal.begin(TakenKind.PROCESS, role="guest")
    printed = bytearray()

    def keep(piece: bytes) -> None:
        printed.extend(piece)
        del printed[:-_KEPT]
        err(piece)

    process = await trio.lowlevel.open_process(
        arguments,
        stdin=subprocess.DEVNULL,
        # Never a file: qemu would open it again and truncate it.
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=_tool_environment(directory),
        start_new_session=True,  # qemu and its helpers form one process group, which is killed as a whole
    )
    identity = ProcessIdentity.of(process.pid)
    journal.amend(entry, pid=process.pid, started=identity.started if identity else 0)
    try:
        async with trio.open_nursery() as nursery:
            limit = spec.boot_seconds or _BOOT_SECONDS[spec.kvm]
            nursery.start_soon(_watch_boot, shared / BOOTED, limit, console, nursery.cancel_scope)
            with trio.move_on_after(seconds) as whole:
                async with trio.open_nursery() as pumps:
                    pumps.start_soon(_pump, process.stdout, out)
                    pumps.start_soon(_pump, process.stderr, keep)
                await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        await _interrupt(process, shared, _CLEANUP_SECONDS[spec.kvm])
        await _end_group(process)
        journal.end(entry)
    if whole.cancelled_caught:
        raise ProgramFailedError(
            f"the guest's command did not finish within {seconds:g} s; the guest was killed"
        )
    status = shared / STATUS
    if status.exists():
        return int(status.read_text())
    if not (shared / BOOTED).exists():
        why = f"{_last(console)}{_last_words(printed)}"
        raise ProgramFailedError(f"the guest exited before it had booted, or took more than {limit:g} s{why}")
    raise ProgramFailedError(f"the guest exited before its command had finished{_last(console)}")


def _arguments(spec: GuestSpec, shared: Path, scratch: Path, console: Path) -> list[str]:
    devices = [
        f"-chardev file,id=klog,path={console} -serial chardev:klog",
        f"-virtfs local,path=/,mount_tag={HOST_TAG},security_model=none,readonly=on,multidevs=remap",
        f"-drive if=none,id=scratch,file={scratch},format=raw,cache=unsafe,discard=unmap",
        f"-device virtio-blk-pci,drive=scratch,serial={SCRATCH_SERIAL}",
    ]
    return [
        str(virtme_ng()),
        "--run",
        str(spec.kernel.image),
        *([] if spec.kvm else ["--disable-kvm"]),
        # Without this, virtme-ng takes the first busybox in PATH, and needs file(1) to see if it is static.
        *("--busybox", str(find_busybox())),
        *("--cpus", str(spec.cpus), "--memory", f"{math.ceil(spec.memory / (1 << 20))}M", "--user", "root"),
        *(f"--rwdir={share}" for share in (shared, *spec.shares)),
        # The kernel's warnings and its last messages go to a file of their own.
        *("--append", "console=ttyS1 loglevel=5 mitigations=off"),
        f"--qemu-opts={' '.join(devices)}",
        "--",
        f"bash {shared / 'script'}",
    ]


def _tool_environment(directory: Path) -> dict[str, str]:
    tools = virtme_ng().parent  # virtme-ng starts virtme-run by name
    return {**os.environ, "PATH": f"{tools}:{full_path(os.environ)}", "TMPDIR": str(directory)}


def _guest_environment() -> dict[str, str]:
    """Return the environment of the command in the guest; a user's PATH may lack the directory of dmsetup."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PATH": full_path(os.environ)}


def _unchanging() -> list[Path]:
    """Return the directories that do not change: Python, the source tree, system programs and libraries."""
    package = Path(__file__).resolve().parents[2]
    system = {Path("/usr/sbin"), Path("/usr/lib", f"{platform.machine()}-linux-gnu")}
    paths = {Path(sys.prefix).resolve(), Path(os.__file__).resolve().parent, package}
    paths |= {path for path in system if path.is_dir()}
    below = {path for path in paths for other in paths if path != other and path.is_relative_to(other)}
    return sorted(paths - below - {Path("/"), Path("/usr")})


def _check_share(path: Path) -> None:
    if not path.is_absolute() or _UNSHAREABLE & set(str(path)):
        raise InvalidValueError(
            f"{str(path)!r} cannot be shared with a guest: use an absolute path without blanks and ,=:'\"\\"
        )
    if not path.is_dir():
        raise InvalidValueError(f"{path}: no such directory")


async def _make_scratch(image: Path, size: Bytes) -> None:
    with image.open("xb") as made:
        made.truncate(size)
    program = find_program("mkfs.ext4")
    if program is None:
        raise EnvironmentLacksError("mkfs.ext4 is not in PATH (apt-get install e2fsprogs)")
    done = await trio.run_process(
        [program, "-q", "-F", "-E", "nodiscard", str(image)],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise ProgramFailedError(f"mkfs.ext4 {image}: {done.stdout.decode(errors='replace').strip()}")


async def _pump(stream: trio.abc.ReceiveStream | None, sink: Output) -> None:
    assert stream is not None, "both are pipes"
    async for piece in stream:
        sink(bytes(piece))


async def _watch_boot(booted: Path, seconds: float, console: Path, running: trio.CancelScope) -> None:
    with trio.move_on_after(seconds):
        while not booted.exists():
            await trio.sleep(0.5)
        return
    running.cancel()


async def _interrupt(process: trio.Process, shared: Path, seconds: float) -> None:
    """Interrupt the guest's command if it still runs, and wait until it has ended."""
    if process.poll() is not None or not (shared / BOOTED).exists():
        return
    (shared / INTERRUPT).touch()
    with trio.move_on_after(seconds, shield=True):
        while process.poll() is None and not (shared / STATUS).exists():
            await trio.sleep(0.2)


async def _end_group(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            # The leader is not reaped yet, so its group number can't be reused. No process in the group has
            # anything to save, so SIGKILL comes at once.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


def _last_words(printed: bytearray) -> str:
    """Return the last line of virtme-ng or qemu, which explains why a guest did not even start."""
    lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
    return f"; virtme-ng printed: {lines[-1]}" if lines else ""


def _last(console: Path) -> str:
    try:
        lines = [line.strip() for line in console.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"; its console: {' | '.join(lines[-3:])}" if lines else "; its console is empty"
