"""An `InterruptedRun` runs ``thinsim reproduce``, signals it at a chosen moment and lists the remains."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuse_backing.mounts import mounts
from tests.repository import REPOSITORY
from thinsim.block.loop import attached_devices
from thinsim.dm.names import MAPPER
from thinsim.machine.journal import TakenKind, read_journal
from thinsim.machine.state import ProcessIdentity
from thinsim.workload.image.built import build_image

PATIENCE = 60.0
"""Seconds after which a run that should have ended counts as hung."""

_THINSIM = (sys.executable, "-m", "thinsim")
# A script ignores SIGINT for its background jobs; the run would inherit that from the tests.
_DEFAULT_SIGNALS = ("env", "--default-signal=INT,HUP,TERM")
_SHORT = ("--setting", "committed")

ROLES = {"store": "backing store", "daemon": "emulated device-mapper"}


def small_image(directory: Path) -> Path:
    """Make an image of 1 MiB from generated files."""
    sources = directory / "sources"
    sources.mkdir(parents=True)
    for number in range(48):
        (sources / f"file-{number:02}").write_bytes(bytes([number]) * 65536)
    build_image(directory / "image.tar", size=1 << 20, sources=[sources])
    return directory / "image.tar"


@dataclass
class InterruptedRun:
    """An `InterruptedRun` has its own state directory and pool directory below *directory*."""

    directory: Path
    image: Path
    container_mb: int = 4
    """The size of the file that the container writes: a larger one makes its phase last longer."""
    process: "subprocess.Popen[bytes]" = field(init=False)
    loops_before: dict[Path, str] = field(init=False)

    def __post_init__(self) -> None:
        self.pools.mkdir(parents=True)
        self.loops_before = attached_devices()

    @property
    def pools(self) -> Path:
        """Return the directory in which the run makes its own directory."""
        return self.directory / "pools"

    @property
    def state(self) -> Path:
        """Return the run's THINSIM_STATE_DIR."""
        return self.directory / "state"

    @property
    def environment(self) -> dict[str, str]:
        # Servers start in another directory, so a relative path would not find this source tree.
        tree = str(REPOSITORY)
        # Only the live line of a terminal names each phase; rich takes a file with this variable for one.
        terminal = {"FORCE_COLOR": "1", "COLUMNS": "300", "TERM": "xterm"}
        return {**os.environ, **terminal, "THINSIM_STATE_DIR": str(self.state), "PYTHONPATH": tree}

    @property
    def command(self) -> list[str]:
        return [
            *_DEFAULT_SIGNALS,
            *_THINSIM,
            "reproduce",
            *_SHORT,
            "--container-mb",
            str(self.container_mb),
            "--image",
            str(self.image),
            "--dir",
            str(self.pools),
        ]

    def start_at_terminal(self) -> int:
        """Start the run on its own terminal; return the descriptor of the terminal's other end."""
        ours, theirs = os.openpty()
        try:
            self.process = subprocess.Popen(
                ["setsid", "--ctty", *self.command],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=self.environment,
            )
        finally:
            os.close(theirs)
        return ours

    def start(self) -> None:
        """Start the run in its own process group, as a shell does."""
        with (self.directory / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                process_group=0,
                env=self.environment,
            )

    def said(self) -> str:
        """Return everything that the run has written to standard error."""
        return (self.directory / "stderr").read_text()

    def await_phase(self, phase: str) -> bool:
        """Wait until the run reports that *phase* begins; return False if it ended before."""
        deadline = time.monotonic() + PATIENCE
        while f": {phase}: " not in self.said():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"no {phase!r} in time: {self.said()}"
            time.sleep(0.002)
        return True

    def server(self, victim: str) -> ProcessIdentity | None:
        """Find a server in the journal; return None if it is not recorded yet or any more."""
        for journal in (self.state / "runs").glob("*.jsonl"):
            for taken in read_journal(journal).taken:
                fields = taken.fields
                if taken.kind is TakenKind.PROCESS and fields["role"] == ROLES[victim] and "pid" in fields:
                    return ProcessIdentity(fields["pid"], fields["started"])
        return None

    def hit(self, victim: str) -> bool:
        """Send the signal that *victim* names; return False if the run or its server has ended."""
        if self.process.poll() is not None:
            return False
        match victim:
            case "interrupt":
                os.killpg(self.process.pid, signal.SIGINT)
            case "terminate":
                self.process.terminate()
            case "kill":
                self.process.kill()
            case _:
                server = self.server(victim)
                if server is None or not server.is_running():
                    return False
                os.kill(server.pid, signal.SIGKILL)
        return True

    def signal_server(self, victim: str, number: signal.Signals) -> None:
        """Send a signal to a server that must be running."""
        server = self.server(victim)
        assert server is not None, f"no {victim} yet: {self.said()}"
        assert server.send(number)

    def end(self) -> int:
        """Wait until the run has ended, and return its exit status; fail if it hangs."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.doctor()
            raise AssertionError(f"the run hung: {self.said()}") from None

    def doctor(self) -> "subprocess.CompletedProcess[str]":
        """Run ``thinsim doctor --clean``."""
        return subprocess.run(
            [*_THINSIM, "doctor", "--clean"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE * 2,
            env=self.environment,
        )

    def left(self) -> list[str]:
        """Return everything of the run that is still on the machine."""
        return sorted(self._left())

    def _left(self) -> Iterator[str]:
        for mount in mounts():
            if mount.mountpoint.is_relative_to(self.directory):
                yield f"mount {mount.mountpoint}"
        loops = []
        for device, text in attached_devices().items():
            # After a lazy unmount the kernel names the file relative to the mount's root.
            ours = text.startswith(str(self.directory)) or Path(text).parent == Path("/")
            if ours and self.loops_before.get(device) != text:
                loops.append(device)
                yield f"loop device {device}: {text}"
        for link in MAPPER.iterdir() if MAPPER.is_dir() else ():
            if link.is_symlink() and (link.readlink() in loops or not link.exists()):
                yield f"link {link}"
        for process in processes_with(f"THINSIM_STATE_DIR={self.state}"):
            yield f"process {process}"
        sockets = Path("/run/thinsim").glob(f"{self.process.pid}-*")
        for kept in (*self.pools.iterdir(), *(self.state / "runs").glob("*"), *sockets):
            yield f"file {kept}"


def processes_with(variable: str) -> Iterator[str]:
    """Yield every process that was started with *variable* in its environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield f"{entry.name}: {(entry / 'cmdline').read_text().replace(chr(0), ' ')}"
            except OSError:
                continue
