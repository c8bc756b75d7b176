"""A `WriteStep` writes files in an active snapshot; the other steps overwrite, delete or trim them."""

from typing import Literal

from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import FileName, Size


class WriteStep(Act):
    """A `write` step writes new files in an active snapshot."""

    do: Literal["write"]
    key: str
    """The key of the active snapshot."""
    name: FileName = "data"
    """The name of these files in later steps."""
    size: Size
    """Bytes to write, all files together."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.write(self.key, self.name, self.size)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_files(self.key, self.name, new=True)

    def expect(self, known: KnownSnapshots) -> None:
        known.change_files(self.key, add=self.name)


class OverwriteStep(Act):
    """Overwrite the first bytes of files in place, which breaks sharing with the parent."""

    do: Literal["overwrite"]
    key: str
    """The key of the active snapshot."""
    name: FileName = "data"
    """The name that `write` or `import` gave the files."""
    size: Size
    """Bytes to overwrite, from the beginning of the files."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.overwrite(self.key, self.name, self.size)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_files(self.key, self.name, new=False)


class DeleteStep(Act):
    """A `delete` step deletes files in an active snapshot."""

    do: Literal["delete"]
    key: str
    """The key of the active snapshot."""
    name: FileName = "data"
    """The name that `write` or `import` gave the files."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.delete(self.key, self.name)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_files(self.key, self.name, new=False)

    def expect(self, known: KnownSnapshots) -> None:
        known.change_files(self.key, drop=self.name)


class RunStep(Act):
    """Work as a container does: write new files, delete an eighth more than that again, overwrite others."""

    do: Literal["run"]
    key: str
    """The key of the active snapshot."""
    size: Size
    """Bytes that the container leaves in new files."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.run_container(self.key, self.size)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_mount(self.key)

    def expect(self, known: KnownSnapshots) -> None:
        known.forget_files(self.key)


class TrimStep(Act):
    """A `trim` step runs fstrim in an active snapshot."""

    do: Literal["trim"]
    key: str
    """The key of the active snapshot."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.trim(self.key)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_mount(self.key, to_write=False)
