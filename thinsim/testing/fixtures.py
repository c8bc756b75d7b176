"""The fixtures are plain objects: a thin pool, the store below it and a snapshotter on it.

Sizes are bytes. Errors are those of the snapshotter (``thinsim.snapshotter.errors``) and of the kernel
(``thinsim.errors.KernelError``).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fuse_backing.errors import FaultPlanError
from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultPlan
from thinsim.did_you_mean import unknown_name
from thinsim.errors import InvalidValueError
from thinsim.machine.programs import complete_path
from thinsim.machine.recovery import recover_abandoned
from thinsim.machine.working_directory import working_directory
from thinsim.measure.attribution import Leak
from thinsim.rig.interface import Rig
from thinsim.rig.registry import AUTO, HERE, choose_rig, probe_machine, rig_names
from thinsim.scenario.file.document import OWN_KEYS, ScenarioPool
from thinsim.scenario.file.session import ScenarioSession, session
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.retry import CONTAINERD_RETRY
from thinsim.testing.portal import Portal
from thinsim.thin.mapping import Run
from thinsim.thin.status import PoolStatus, parse_pool_status

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""


class _Silent:
    def say(self, text: str) -> None: ...

    def step(self, phase: str, step: str) -> None: ...


class RigFixture:
    """A `RigFixture` runs one rig with a session in a portal."""

    def __init__(self, portal: Portal[ScenarioSession]) -> None:
        self.portal = portal
        self.session = portal.held
        self.thin_pool = ThinPool(portal)
        self.backing_store = BackingStore(portal)

    def snapshotter(self) -> "SnapshotterFixture":
        """Start the snapshotter and return its fixture."""
        self.portal.call(self.session.start)
        return SnapshotterFixture(self.portal)

    def assert_no_leak(self, at_most: int = 0) -> None:
        """Measure now. AssertionError names every leak's owner if more than *at_most* bytes leak."""
        leaks = self.backing_store.leaks()
        leaked = sum(leak.bytes for leak in leaks)
        if leaked > at_most:
            lines = [
                f"  {leak.owner.snapshot or 'thin ' + str(leak.owner.thin_id)}: {leak.bytes} bytes in "
                f"{leak.blocks} blocks, leaked by {leak.owner.operation!r}: {leak.owner.reason}"
                for leak in leaks
            ]
            raise AssertionError(
                "\n".join([f"{leaked} bytes leaked, but at most {at_most} may leak:", *lines])
            )

    def check(self) -> list[str]:
        """Run the metadata checker and return its findings, none for a sound pool."""
        return self.portal.call(self.session.rig.check)


class ThinPool:
    """A `ThinPool` is the object of the fixture ``thin_pool``."""

    def __init__(self, portal: Portal[ScenarioSession]) -> None:
        self._portal = portal
        self._rig: Rig = portal.held.rig

    @property
    def name(self) -> str:
        """Return the pool's name in device-mapper."""
        return self._rig.shape.name

    @property
    def rig(self) -> str:
        """Return the name of the pool's rig."""
        return self._rig.name

    @property
    def block_bytes(self) -> int:
        """Return the size of a data block in bytes."""
        return self._rig.shape.block_bytes

    @property
    def status(self) -> PoolStatus:
        """Return the status line that ``dmsetup status`` prints, parsed."""
        return parse_pool_status(self._portal.call(self._rig.dm.status, self.name))

    @property
    def used(self) -> int:
        """Return the bytes of the used data blocks."""
        return self.status.used_data * self.block_bytes

    def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return the mappings of every thin id."""
        return self._portal.call(self._rig.mappings)

    def message(self, text: str) -> None:
        """Send the pool a message, like ``dmsetup message POOL 0 TEXT``. DeviceMapperError if refused."""
        self._portal.call(self._rig.dm.message, self.name, 0, text)


class BackingStore:
    """A `BackingStore` is the object of the fixture ``backing_store``: the host's file below the pool."""

    def __init__(self, portal: Portal[ScenarioSession]) -> None:
        self._portal = portal
        self._session = portal.held

    @property
    def allocated(self) -> int:
        """Return the bytes that the host has allocated for the data file, after all writes reached it."""
        self._portal.call(self._session.rig.settle)
        return self._portal.call(self._session.rig.host_allocation).allocated

    @property
    def freed(self) -> int:
        """Return the bytes that hole punches have freed so far."""
        return self._portal.call(self._session.rig.ledger).freed

    @property
    def punches(self) -> int:
        """Return the number of hole punches so far."""
        return self._portal.call(self._session.rig.ledger).punches

    def events(self) -> Sequence[LedgerEvent]:
        """Return the ledger's events of the data file."""
        return self._portal.call(self._session.rig.events, 0)

    def leaks(self) -> list[Leak]:
        """Measure now and return every leak with its owner, the largest first."""
        self._portal.call(self._session.measure)
        return self._session.leaks()

    def set_faults(self, *faults: Mapping[str, Any]) -> None:
        """Put *faults* in force; without faults, clear them.

        The keys are those of ``fuse-backing faults set``. FaultPlanError for a wrong one.
        """
        try:
            plan = FaultPlan.from_json([dict(fault) for fault in faults]) if faults else FaultPlan()
        except FaultPlanError as error:
            raise error.with_traceback(None)  # noqa: B904 (the same error)
        self._portal.call(self._session.set_faults, plan)


class SnapshotterFixture:
    """A `SnapshotterFixture` is the object of the fixture ``snapshotter``.

    It is containerd's devmapper snapshotter, and writes files into its snapshots.
    """

    def __init__(self, portal: Portal[ScenarioSession]) -> None:
        self._portal = portal
        self._session = portal.held

    @property
    def config(self) -> Config:
        """Return the snapshotter's settings."""
        return self._session.config

    def prepare(self, key: str, parent: str = "") -> list[Mount]:
        """Make the active snapshot *key* on the committed snapshot *parent*; return its mounts."""
        return self._portal.call(self._session.prepare, key, parent)

    def view(self, key: str, parent: str) -> list[Mount]:
        """Make the read-only snapshot *key* on the committed snapshot *parent*; return its mounts."""
        return self._portal.call(self._session.view, key, parent)

    def commit(self, name: str, key: str) -> None:
        """Commit the active snapshot *key* under the name *name*."""
        self._portal.call(self._session.commit, name, key)

    def remove(self, key: str) -> None:
        """Remove the snapshot *key*."""
        self._portal.call(self._session.remove, key)

    def cleanup(self) -> None:
        """Remove the devices that ``async_remove`` has left for later."""
        self._portal.call(self._session.cleanup)

    def restart(self) -> None:
        """Close the snapshotter and open it again on its files."""
        self._portal.call(self._session.restart)

    def mounts(self, key: str) -> list[Mount]:
        """Return the mounts of the active snapshot or view *key*."""
        return self._portal.call(self._session.snapshotter.mounts, key)

    def usage(self, key: str) -> int:
        """Return the bytes that the snapshot *key* adds to its parent."""
        return self._portal.call(self._session.snapshotter.usage, key).size

    def names(self) -> list[str]:
        """Return the names of all snapshots, sorted."""
        return self._portal.call(self._session.snapshots)

    def import_layers(self, name: str, layers: int, size: int, parent: str = "") -> list[str]:
        """Import an image of generated files, *size* bytes over all layers.

        Return its committed snapshots NAME-1, NAME-2, ..., the bottom one first.
        """
        return self._portal.call(self._session.import_layers, name, layers, size, parent)

    def write(self, key: str, size: int, name: str = "data") -> None:
        """Write *size* bytes of new files named *name* into the active snapshot *key*."""
        self._portal.call(self._session.write, key, name, size)

    def overwrite(self, key: str, size: int, name: str = "data") -> None:
        """Overwrite the first *size* bytes of the files *name*."""
        self._portal.call(self._session.overwrite, key, name, size)

    def delete(self, key: str, name: str = "data") -> None:
        """Delete the files *name*."""
        self._portal.call(self._session.delete, key, name)

    def trim(self, key: str) -> None:
        """Run fstrim in the active snapshot *key*."""
        self._portal.call(self._session.trim, key)


def config_keys(file: Path) -> dict[str, Any]:
    """Return the settings in a TOML file or in containerd's config.toml. InvalidConfigError."""
    return {key: value for key, value in asdict(Config.load(file)).items() if key not in OWN_KEYS}


def rig_portal(
    rig: str, pool: Mapping[str, Any], keys: Mapping[str, Any], directory: Path
) -> Portal[ScenarioSession]:
    """Return a portal that starts *rig* (or ``auto``) in *directory*, after cleaning up after killed runs.

    *pool* has the keys of a scenario file's ``[pool]``, *keys* those of the snapshotter. InvalidValueError
    for a wrong key, EnvironmentLacksError for a rig that can't run here.
    """
    shape_of: Callable[[str], Any] = _pool(pool).shape
    check_rig(rig)
    complete_path()
    recover_abandoned(_Silent().say)
    running = choose_rig(rig, probe_machine(directory)).rig.running
    assert running is not None, "every rig of HERE runs here"

    @asynccontextmanager
    async def opened_session() -> AsyncIterator[ScenarioSession]:
        async with working_directory(directory, _Silent().say) as (below, journal):
            shape = shape_of(f"thinsim-{journal.path.stem}")
            async with (
                running(below, shape, journal) as started,
                session(started, keys, CONTAINERD_RETRY, _Silent(), below / "snapshotter") as opened,
            ):
                yield opened

    return Portal(opened_session)


def check_rig(word: str) -> None:
    """Raise InvalidValueError unless *word* is ``auto`` or a rig that runs on this machine."""
    known = (AUTO, *rig_names(HERE))
    if word not in known:
        raise InvalidValueError(unknown_name("rig", word, known))


def _pool(keys: Mapping[str, Any]) -> ScenarioPool:
    try:
        return ScenarioPool(**keys)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        ]
        raise InvalidValueError("pool: " + "; ".join(problems)) from None
