"""A `CrashCase` prepares the snapshots that an operation finds, and runs the victims on them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import trio

from thinsim.crashes.judging import snapshot_contents
from thinsim.crashes.operations import OPERATIONS, CrashOperation
from thinsim.crashes.stage import CrashStage
from thinsim.crashes.state import CrashState, look
from thinsim.crashes.victim import VictimRequest
from thinsim.crashes.victims import Victims
from thinsim.errors import DeviceMapperError, InvariantError, ProgramFailedError
from thinsim.machine.journal import read_journal
from thinsim.machine.recovery import recover
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.snapshotter import DevmapperSnapshotter

_BASE_IMAGE_SIZE = "64MiB"
_NUMBERS: Mapping[str, int] = {"base": 1, "layer": 2, "running": 3, "leaving": 4, "top": 5}
"""The number of the content that each snapshot adds."""
_KILLED = -9
_PATIENCE = 5


class CrashCase:
    """A `CrashCase` runs *operation* once on the empty pool of *stage*.

    Devices that are held open are closed with *held*.
    """

    def __init__(
        self,
        stage: CrashStage,
        directory: Path,
        operation: CrashOperation,
        profile: str,
        held: AsyncExitStack,
    ) -> None:
        self.stage = stage
        self._directory = directory
        self._operation = operation
        self._held = held
        self.config = Config.from_table(
            {
                "root_path": str(directory / "snapshotter"),
                "pool_name": stage.rig.shape.name,
                "base_image_size": _BASE_IMAGE_SIZE,
                "discard_blocks": True,
                "profile": profile,
                **operation.flags,
            }
        )
        self._victims_run = 0
        self.empty = False
        """True once the pool has been found empty at the end."""
        self.known: Mapping[str, str] = {}
        """The content of each snapshot before the first interruption."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DevmapperSnapshotter]:
        """Open the snapshotter in this process."""
        rig = self.stage.rig
        snapshotter = await DevmapperSnapshotter.open(
            self.config, rig.dm, rig.host, open_metadata=rig.open_metadata
        )
        try:
            yield snapshotter
        finally:
            await snapshotter.close()

    async def state(self) -> CrashState:
        """Return the state of the store, the device records, the pool and the host."""
        return await look(self.stage, self.config)

    async def arrange(self, victims: Victims, steps_of: Mapping[str, Sequence[str]]) -> None:
        """Prepare the snapshots that the operation finds.

        *steps_of* has the steps of the operations that are interrupted first.
        """
        operation = self._operation
        held_contents: dict[str, str] = {}
        async with self.opened() as snapshotter:
            for name, parent, kind in (
                ("base", "", Kind.COMMITTED),
                ("layer", "base", Kind.COMMITTED),
                ("running", "layer", Kind.ACTIVE),
                ("leaving", "layer", Kind.ACTIVE),
                ("top", "layer", Kind.COMMITTED),
            ):
                key = name if kind is Kind.ACTIVE else f"{name}-key"
                await snapshotter.prepare(key, parent)
                device = snapshotter.device_of(key).name
                await self.stage.write(device, _NUMBERS[name])
                if name == operation.holds:
                    # Its content cannot be read while the device is held open.
                    held_contents[name] = await self.stage.content(device)
                    await self._held.enter_async_context(self.stage.rig.holding_open(device))
                if kind is Kind.COMMITTED:
                    await snapshotter.commit(name, key)
            await operation.arrange(snapshotter)
        self.known = {**await snapshot_contents(self.stage, await self.state()), **held_contents}
        for name, step in operation.crashes:
            await self._cut_short(victims, OPERATIONS[name], step, steps_of[name])
        if operation.rebooted:
            dm = self.stage.rig.dm
            for node in await dm.list():
                if node != self.stage.rig.shape.name:
                    await dm.remove(node)

    async def let_go(self) -> None:
        """Close the device that is held open, and wait for its deferred removal."""
        await self._held.aclose()
        dm = self.stage.rig.dm
        for node in await dm.list():
            # An error means that the device is gone.
            with trio.move_on_after(_PATIENCE), suppress(DeviceMapperError):
                while (await dm.info(node)).deferred_remove:
                    await trio.sleep(0.01)

    async def kill(self, victims: Victims, die_at: int, *, during: bool) -> Sequence[str]:
        """Let a victim run the operation and die at step *die_at* (0: not at all); return the steps begun."""
        return await self._run(victims, self._operation, die_at, during=during)

    async def _cut_short(
        self, victims: Victims, operation: CrashOperation, beginning: str, steps: Sequence[str]
    ) -> None:
        """Kill *operation* before the first of its *steps* that begins with *beginning*."""
        number = next(n for n, step in enumerate(steps, 1) if step.startswith(beginning))
        trail = await self._run(victims, operation, number)
        if not trail[-1].startswith(beginning):
            raise InvariantError(
                f"the victim of {operation.name!r} died before {trail[-1]!r} instead of {beginning!r}"
            )

    async def _run(
        self, victims: Victims, operation: CrashOperation, die_at: int, *, during: bool = False
    ) -> Sequence[str]:
        self._victims_run += 1
        place = self._directory / f"victim-{self._victims_run}"
        place.mkdir()
        (place / "config.toml").write_text(self.config.to_toml())
        status = await victims.run(
            VictimRequest(
                operation=operation.name,
                config=str(place / "config.toml"),
                socket=str(self.stage.socket),
                metadata_file=self.stage.metadata_file,
                trail=str(place / "trail"),
                state=str(place),
                die_at=die_at,
                during=during,
            )
        )
        if status != (_KILLED if die_at else 0):
            raise ProgramFailedError(
                f"the victim of {operation.name!r} at step {die_at} ended with status {status}"
            )
        for path in (place / "runs").glob("*.jsonl"):
            problems = await trio.to_thread.run_sync(recover, read_journal(path), lambda text: None)
            if problems:
                raise InvariantError(f"cannot clean up after a victim: {'; '.join(problems)}")
        return (place / "trail").read_text().splitlines()
