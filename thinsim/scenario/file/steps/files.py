"""A `WriteStep` writes files in an active snapshot; the other steps overwrite, delete or trim them."""

from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import FileName, Size


class WriteStep(Act):
    """A `write` step writes new files in an active snapshot."""

    do: Literal["write"]
    key: str
    name: FileName = "data"
    """The name of these files in later steps."""
    size: Size

    async def act(self, run: RunningVariant) -> None:
        await run.session.write(self.key, self.name, self.size)


class OverwriteStep(Act):
    """An `overwrite` step overwrites the first bytes of files. This breaks sharing with the parent."""

    do: Literal["overwrite"]
    key: str
    name: FileName = "data"
    size: Size

    async def act(self, run: RunningVariant) -> None:
        await run.session.overwrite(self.key, self.name, self.size)


class DeleteStep(Act):
    """A `delete` step deletes files in an active snapshot."""

    do: Literal["delete"]
    key: str
    name: FileName = "data"

    async def act(self, run: RunningVariant) -> None:
        await run.session.delete(self.key, self.name)


class RunStep(Act):
    """A `run` step works as a container: it writes files of *size* bytes, and deletes and overwrites others.

    The deleted files have an eighth of *size*.
    """

    do: Literal["run"]
    key: str
    size: Size

    async def act(self, run: RunningVariant) -> None:
        await run.session.run_container(self.key, self.size)


class TrimStep(Act):
    """A `trim` step runs fstrim in an active snapshot."""

    do: Literal["trim"]
    key: str

    async def act(self, run: RunningVariant) -> None:
        await run.session.trim(self.key)
