"""A `Meter` takes one measurement at every height after each step of a run."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from thinsim.errors import InvariantError, KernelError
from thinsim.measure.attribution import Leak, LeakBook
from thinsim.measure.conservation import exchange
from thinsim.rig.interface import HostAllocation, Rig
from thinsim.snapshotter.errors import SnapshotterError
from thinsim.snapshotter.events import DeviceEvent
from thinsim.snapshotter.interface import Snapshotter
from thinsim.thin.status import parse_pool_status


@dataclass(frozen=True, slots=True)
class StepSample:
    """A `StepSample` records the effect of one step at each height, in bytes where no name has blocks."""

    phase: str
    """The name of the phase."""
    step: str
    """The name of the step."""
    seconds: float
    """Seconds that the step took, without the measuring."""
    pool_used_blocks: int
    """Data blocks that the pool uses after the step."""
    pool_total_blocks: int
    """Data blocks that the pool has."""
    pool_freed: int
    """Bytes of the data blocks that the pool freed in the step."""
    host_allocated: int
    """Bytes that the host holds for the data file after the step."""
    host_file_blocks: int
    """Bytes of `st_blocks`, which counts the blocks of the file's extent tree as well."""
    host_grown: int
    """Bytes that the host allocated for the data file in the step."""
    host_freed: int
    """Bytes that the host freed of the data file in the step."""
    ledger_freed: int
    """Bytes that the ledger records as freed in the step; they must equal `host_freed`."""
    ledger_punches: int
    """Hole punches that the ledger recorded in the step."""
    written: int
    """Bytes written to the pool's data device in the step."""
    leaked: int
    """Bytes allocated on the host after the step that no mapping of the pool needs."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each snapshot adds to its parent, by key or name."""
    host_kept: int = 0
    """Bytes that the host holds although no mapping and no leak needs them: the unused rest of an extent, a
    cluster or a huge page. 0 on hosts that hold exactly the bytes that a file maps."""
    at: float = 0.0
    """Seconds from the beginning of the series to the end of the step."""


class Meter:
    """A `Meter` measures a rig after every step and checks each law that holds between the heights."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._book = LeakBook(rig.shape.block_bytes)
        self._host = HostAllocation((), 0, held=())
        self._freed = 0
        self._punches = 0
        self._written = 0
        self._begun = time.monotonic()
        self.samples: list[StepSample] = []

    async def sample(
        self,
        phase: str,
        step: str,
        seconds: float,
        snapshotter: Snapshotter | None,
        events: Sequence[DeviceEvent],
        files: int | None = 0,
    ) -> StepSample:
        """Settle the rig, measure it and check the laws. InvariantError when two heights disagree.

        *files* is the number of bytes of the files that the step wrote, None if it is unknown.
        """
        rig = self._rig
        at = time.monotonic() - self._begun
        await rig.settle()
        status = parse_pool_status(await rig.dm.status(rig.shape.name))
        host = await rig.host_allocation()
        ledger = await rig.ledger()
        written = await rig.written_bytes()
        moved = exchange(
            f"{phase}: {step}",
            self._host.held,
            host.held,
            ledger.freed - self._freed,
            host.most_grown_by(written - self._written),
        )
        freed_blocks = self._book.step(
            step, await rig.mappings(), events, passdown=status.discard == "discard_passdown", files=files
        )
        if self._book.mapped_blocks != status.used_data:
            raise InvariantError(
                f"step {step!r}: the pool reports {status.used_data} used data blocks, "
                f"but its mappings name {self._book.mapped_blocks}"
            )
        leaked = sum(leak.bytes for leak in self._leaks(host))
        taken = StepSample(
            phase=phase,
            step=step,
            seconds=seconds,
            pool_used_blocks=status.used_data,
            pool_total_blocks=status.total_data,
            pool_freed=freed_blocks * rig.shape.block_bytes,
            host_allocated=host.allocated,
            host_file_blocks=host.file_blocks,
            host_grown=moved.host_grown,
            host_freed=moved.host_freed,
            ledger_freed=moved.ledger_freed,
            ledger_punches=ledger.punches - self._punches,
            written=written - self._written,
            leaked=leaked,
            host_kept=host.allocated - leaked - self._book.needed(host.ranges),
            usage=await _usage(snapshotter) if snapshotter else {},
            at=at,
        )
        self._host, self._freed = host, ledger.freed
        self._punches, self._written = ledger.punches, written
        self.samples.append(taken)
        return taken

    def leaks(self) -> list[Leak]:
        """Return the leaks of the last sample by owner, the largest first."""
        return self._leaks(self._host)

    def _leaks(self, host: HostAllocation) -> list[Leak]:
        return self._book.leaks(host.ranges, rounded=not host.maps_what_it_holds)


async def _usage(snapshotter: Snapshotter) -> dict[str, int]:
    sizes = {}
    async for info in snapshotter.walk():
        # A snapshot can lack its device after a crash, or have an error table in its place after a failed
        # removal.
        with suppress(KernelError, SnapshotterError):
            sizes[info.name] = (await snapshotter.usage(info.name)).size
    return sizes
