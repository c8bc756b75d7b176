"""These steps change files in an active snapshot."""

from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import FileName, Size


class WriteStep(Act):
    """Write new files in an active snapshot."""

    do: Literal["write"]
    key: str
    name: FileName = "data"
    """What these files are called in later steps."""
    size: Size

    async def act(self, run: RunningVariant) -> None:
        """Write them."""
        await run.session.write(self.key, self.name, self.size)


class OverwriteStep(Act):
    """Write the first bytes of files anew, in place: sharing with the parent is broken."""

    do: Literal["overwrite"]
    key: str
    name: FileName = "data"
    size: Size

    async def act(self, run: RunningVariant) -> None:
        """Overwrite them."""
        await run.session.overwrite(self.key, self.name, self.size)


class DeleteStep(Act):
    """Delete files in an active snapshot."""

    do: Literal["delete"]
    key: str
    name: FileName = "data"

    async def act(self, run: RunningVariant) -> None:
        """Delete them."""
        await run.session.delete(self.key, self.name)


class RunStep(Act):
    """Work as a container: new files of *size* bytes, an eighth more deleted again, others overwritten."""

    do: Literal["run"]
    key: str
    size: Size

    async def act(self, run: RunningVariant) -> None:
        """Write, delete and overwrite."""
        await run.session.run_container(self.key, self.size)


class TrimStep(Act):
    """Run fstrim in an active snapshot."""

    do: Literal["trim"]
    key: str

    async def act(self, run: RunningVariant) -> None:
        """Trim it."""
        await run.session.trim(self.key)
