"""The state directory keeps files that must outlive a process; a `ProcessIdentity` identifies one process.

Root's state directory is ``/var/lib/thinsim``. Other users have ``$XDG_STATE_HOME/thinsim`` or
``~/.local/state/thinsim``. ``THINSIM_STATE_DIR`` overrides both.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

STATE_VARIABLE = "THINSIM_STATE_DIR"


def state_directory() -> Path:
    """Return the state directory. It need not exist. Raises EnvironmentLacksError if the user has no home."""
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
            f"this user has no home directory; set {STATE_VARIABLE} to a writable directory"
        ) from None
    return home / ".local/state/thinsim"


def boot_id() -> str:
    """Return the kernel's identifier of this boot (Documentation/admin-guide/sysctl/kernel.rst, random)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A `ProcessIdentity` identifies a process even after a later one has got the same pid.

    *started* is field 22 of ``/proc/PID/stat``: clock ticks from boot to the start of the process.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of the process that runs now as *pid*, or None if there is none or a zombie.

        A killed process whose main thread is a zombie still runs while another thread waits in the kernel.
        """
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command name may contain blanks and parentheses; the fields after the last one are regular.
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
        """Send a signal to exactly this process; return False if it has ended.

        Raises PermissionError for another user's process.
        """
        try:
            # The descriptor stays with the process that has the pid now. If that is this process, the signal
            # can't reach a later one with the same pid.
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
        """Return whether exactly this process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def is_dying(self) -> bool:
        """Return whether the process was killed but can't end, because a thread of it waits in the kernel."""
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
