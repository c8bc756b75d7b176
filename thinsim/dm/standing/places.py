"""`Places` has the paths of the machine's emulated device-mapper; `sockets` lists those of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.sockets import runtime_directory
from thinsim.machine.state import state_directory


@dataclass(frozen=True, slots=True)
class Places:
    """`Places` has two directories: *state* survives a reboot; *runtime*, like mapped devices, does not."""

    runtime: Path
    state: Path

    @classmethod
    def of_this_user(cls) -> "Places":
        """Return the places of the current user; create nothing."""
        return cls(runtime_directory() / "dm", state_directory() / "dm")

    @property
    def control_device(self) -> Path:
        """Return the path of the socket for dmsetup's ioctls."""
        return self.runtime / "control"

    @property
    def verbs(self) -> Path:
        """Return the path of the socket for thinsim's own commands."""
        return self.runtime / "verbs"

    @property
    def volumes(self) -> Path:
        """Return the mount point of the devices' files."""
        return self.runtime / "volumes"

    @property
    def programs(self) -> Path:
        """Return the directory to put first in PATH."""
        return self.runtime / "bin"

    @property
    def lock(self) -> Path:
        """Return the path of the lock that a program holds while it starts the daemon."""
        return self.runtime / "starting"

    @property
    def log(self) -> Path:
        """Return the path of the daemon's log."""
        return self.state / "log"

    @property
    def registry(self) -> Path:
        """Return the path of the file that records the devices, for the daemon after a killed one."""
        return self.state / "devices.json"

    def make(self) -> None:
        """Create the directories, mode 0700, except the mount point, which a killed daemon may still cover.

        EnvironmentLacksError names a directory that can't be created, and the variable that moves it.
        """
        for directory, variable in (
            (self.runtime, "THINSIM_RUNTIME_DIR"),
            (self.state, "THINSIM_STATE_DIR"),
            (self.programs, "THINSIM_RUNTIME_DIR"),
        ):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise EnvironmentLacksError(
                    f"the emulated device-mapper can't create {directory}: {error.strerror}; "
                    f"set {variable} to a writable directory"
                ) from error


def sockets() -> Iterator[Path]:
    """Yield the verbs' sockets of this user's emulated device-mappers: the lasting one, then the runs'."""
    for socket in (Places.of_this_user().verbs, *sorted(runtime_directory().glob("*/dm.sock"))):
        if socket.exists():
            yield socket
