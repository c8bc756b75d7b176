"""The emulated rig runs the emulated dm-thin on loop devices, whose files are on a FUSE backing store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from thinsim.block import kernel_view
from thinsim.dm.activity import Activity
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.dropin import dropin
from thinsim.dm.standing.places import Places
from thinsim.dm.standing.start import ensure_running
from thinsim.machine.journal import Journal
from thinsim.rig.contents import NOTHING, Contents
from thinsim.rig.emulated_stack import EmulatedStack, open_stack
from thinsim.rig.loop_rig import LoopRig, equipment
from thinsim.rig.probes import DEVICES
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.thin.mapping import Run
from thinsim.workload.block_history import RecordingHost


@dataclass(slots=True, kw_only=True)
class EmulatedRig(LoopRig):
    """An `EmulatedRig` is the Rig that :func:`running` sets up."""

    dm: EmulatedDeviceMapper
    backing: EmulatedStack

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Ask the device-mapper for the mappings of each thin id."""
        return await self.dm.mappings(self.shape.name)

    async def written_bytes(self) -> int:
        """Return the kernel's count, with the bytes that the plane wrote to the file below the device."""
        return await LoopRig.written_bytes(self) + (await self.dm.plane_traffic()).unseen_bytes

    async def data_plane(self) -> str:
        """Ask the device-mapper."""
        return (await self.dm.plane_traffic(self.shape.name)).backend

    async def check(self) -> list[str]:
        """Run the device-mapper's metadata checker."""
        return list(await self.dm.check(self.shape.name))

    def subject_environment(self) -> Mapping[str, str]:
        """Return a PATH that has the drop-in dmsetup first."""
        programs = self.directory / "bin"
        programs.mkdir(mode=0o700)
        return dropin.write_dropin(programs, self.backing.control_device)

    async def take_activity(self) -> tuple[Activity, ...]:
        """Ask the device-mapper for the activity since the last call."""
        return await self.dm.take_activity()


@asynccontextmanager
async def running(
    directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
) -> AsyncIterator[EmulatedRig]:
    """Set up the rig in *directory*, which exists and keeps the pool's files; tear it down at the end.

    Each resource is in *journal* before it is taken.
    """
    async with AsyncExitStack() as stack:
        lower = await stack.enter_async_context(open_stack(directory, shape, journal))
        dm = lower.dm
        await dm.create(shape.name, lower.pool_table(shape))
        with_it = equipment(stack, directory, shape.name, journal, contents)
        host, workload = with_it.host, with_it.workload
        if contents.record is not None:
            await dm.start_trace()
            host = workload = RecordingHost(host, workload, dm, shape.name, contents.record)
        yield EmulatedRig(
            name=EMULATED.name,
            shape=shape,
            dm=dm,
            host=host,
            mounter=with_it.mounter,
            workload=workload,
            files=with_it.files,
            directory=directory,
            backing=lower,
            data_device=lower.data.path,
            written_at_start=kernel_view.traffic(lower.data.path).written_bytes,
        )


def _lasting() -> EmulatedDeviceMapper:
    """Start the emulated device-mapper that outlives the command, unless it runs already."""
    places = Places.of_this_user()
    ensure_running(places)
    return EmulatedDeviceMapper(places.verbs)


EMULATED = RigRecord(
    name="emulated",
    needs=DEVICES,
    running=running,
    sees_writes=True,
    lasting_device_mapper=_lasting,
    pool="thinsim's emulated dm-thin, on loop devices on the backing store; file systems are mounted",
    best_for="containers, CI runners and other machines whose kernel has no device-mapper",
)
