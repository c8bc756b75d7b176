"""Says where the standing device-mapper keeps its files."""

from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.sockets import runtime_directory
from thinsim.machine.state import state_directory


@dataclass(frozen=True, slots=True)
class Places:
    """Paths; *runtime* is gone after a reboot, as mapped devices are, *state* is not."""

    runtime: Path
    state: Path

    @classmethod
    def of_this_user(cls) -> "Places":
        """Return the places of whoever runs this; nothing is made."""
        return cls(runtime_directory() / "dm", state_directory() / "dm")

    @property
    def control_device(self) -> Path:
        """The socket that dmsetup's ioctls go to."""
        return self.runtime / "control"

    @property
    def verbs(self) -> Path:
        """The socket of thinsim's own commands."""
        return self.runtime / "verbs"

    @property
    def volumes(self) -> Path:
        """The mount point of the devices' files."""
        return self.runtime / "volumes"

    @property
    def programs(self) -> Path:
        """The directory to be put first in PATH."""
        return self.runtime / "bin"

    @property
    def lock(self) -> Path:
        """Held by who starts the daemon."""
        return self.runtime / "starting"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.state / "log"

    @property
    def registry(self) -> Path:
        """The devices, for a daemon that follows a killed one."""
        return self.state / "devices.json"

    def make(self) -> None:
        """Make the directories, mode 0700; but for the mount point, which a killed daemon may still cover.

        EnvironmentLacksError names one that can't be made and the variable that puts it elsewhere.
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
                    f"the emulated device-mapper has no place for its files: {directory}: {error.strerror}; "
                    f"set {variable} to a directory that can be written"
                ) from error
