"""Says where what must outlive a process is kept, and tells a process from its successor.

Root: ``/var/lib/thinsim``; others: ``$XDG_STATE_HOME/thinsim`` or ``~/.local/state/thinsim``.
``THINSIM_STATE_DIR`` overrides both.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

STATE_VARIABLE = "THINSIM_STATE_DIR"


def state_directory() -> Path:
    """Return the state directory; it need not exist yet. EnvironmentLacksError where there is no home."""
    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/thinsim")
    base = os.environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "thinsim"
    try:
        home = Path.home()
    except RuntimeError:
        raise EnvironmentLacksError(
            f"this user has no home directory; set {STATE_VARIABLE} to a directory that can be written"
        ) from None
    return home / ".local/state/thinsim"


def boot_id() -> str:
    """Return what names this boot of the kernel (Documentation/admin-guide/sysctl/kernel.rst, random)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that can't be mistaken for a later one with the same pid.

    *started* is field 22 of ``/proc/PID/stat``: clock ticks from boot to its start.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of the process that runs now as *pid*; None for none, or a zombie.

        A killed process whose main thread is a zombie still runs while another thread waits in the kernel.
        """
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command name may hold blanks and parentheses; what follows the last one is regular.
        fields = text.rpartition(")")[2].split()
        if fields[0] in "ZX" and not _other_threads(pid):
            return None
        return cls(pid, int(fields[19]))

    @classmethod
    def own(cls) -> "ProcessIdentity":
        """Return this process's identity."""
        identity = cls.of(os.getpid())
        if identity is None:
            raise AssertionError("a running process has an entry in /proc")
        return identity

    def send(self, signal_number: int) -> bool:
        """Send a signal to this very process; False if it has ended. PermissionError for another user's."""
        try:
            # The descriptor stays with the process that has the pid now; if that is this one, a later
            # one with the same pid can't be hit.
            process = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.is_running():
                return False
            signal.pidfd_send_signal(process, signal_number)
        except ProcessLookupError:
            return False
        finally:
            os.close(process)
        return True

    def is_running(self) -> bool:
        """Tell whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def is_dying(self) -> bool:
        """Tell whether it was killed and can't end, since a thread of it waits in the kernel."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state in "ZX" and self.is_running()


def _other_threads(pid: int) -> bool:
    try:
        return any(task.name != str(pid) for task in Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False
