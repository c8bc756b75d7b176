"""The fixtures are plain objects: a thin pool, the store below it and a snapshotter on it.

Sizes are bytes; a size that a test gives may be a text such as ``8MiB``. Errors are those of the snapshotter
(``thinsim.snapshotter.errors``), of its file system (OSError) and of the kernel
(``thinsim.errors.KernelError``). InvalidValueError names a wrong argument.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from fuse_backing.events import LedgerEvent
from thinsim.did_you_mean import unknown_name
from thinsim.measure.attribution import Leak
from thinsim.report.leak_words import leak_lines
from thinsim.rig.interface import Rig
from thinsim.scenario.file.session import ScenarioSession
from thinsim.scenario.file.values import size_of
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import NotFoundError
from thinsim.snapshotter.interface import Mount
from thinsim.testing.arguments import checked, fixture
from thinsim.testing.fault_arguments import fault_plan
from thinsim.testing.file_refusals import explained
from thinsim.testing.portal import Portal
from thinsim.thin.mapping import Run
from thinsim.thin.status import PoolStatus, parse_pool_status
from thinsim.units import format_size

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""

_Result = TypeVar("_Result")


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

    @checked("assert_no_leak")
    def assert_no_leak(self, at_most: int | str = 0) -> None:
        """Measure now. AssertionError names every leak's owner if more than *at_most* bytes leak."""
        allowed = size_of(at_most)
        leaks = self.backing_store.leaks()
        leaked = sum(leak.bytes for leak in leaks)
        if leaked > allowed:
            title = f"{_with_bytes(leaked)} leaked, but at most {_with_bytes(allowed)} may leak:"
            lines = leak_lines(leaks, self.session.fs_type)
            raise AssertionError("\n".join([title, *(f"  {line}" for line in lines)]))

    def check(self) -> list[str]:
        """Run the metadata checker and return its findings, none for a sound pool."""
        return self.portal.call(self.session.rig.check)


@fixture("thin_pool", "shape it with @pytest.mark.thin_pool(data_size='1GiB')")
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


@fixture("backing_store", "shape the pool with @pytest.mark.thin_pool(data_size='1GiB')")
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

        Each is a dictionary with the keys of ``fuse-backing faults set``. FaultPlanError for a wrong one.
        """
        self._portal.call(self._session.set_faults, fault_plan(faults))


@fixture("snapshotter", "configure it with @pytest.mark.snapshotter(discard_blocks=True)")
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
        return self._call(self._session.prepare, key, parent)

    def view(self, key: str, parent: str) -> list[Mount]:
        """Make the read-only snapshot *key* on the committed snapshot *parent*; return its mounts."""
        return self._call(self._session.view, key, parent)

    def commit(self, name: str, key: str) -> None:
        """Commit the active snapshot *key* under the name *name*."""
        self._call(self._session.commit, name, key)

    def remove(self, key: str) -> None:
        """Remove the snapshot *key*."""
        self._call(self._session.remove, key)

    def cleanup(self) -> None:
        """Remove the devices that ``async_remove`` has left for later."""
        self._call(self._session.cleanup)

    def restart(self) -> None:
        """Close the snapshotter and open it again on its files."""
        self._call(self._session.restart)

    def mounts(self, key: str) -> list[Mount]:
        """Return the mounts of the active snapshot or view *key*."""
        return self._call(self._session.snapshotter.mounts, key)

    def usage(self, key: str) -> int:
        """Return the bytes that the snapshot *key* adds to its parent."""
        return self._call(self._session.snapshotter.usage, key).size

    def names(self) -> list[str]:
        """Return the names of all snapshots, sorted."""
        return self._portal.call(self._session.snapshots)

    def import_layers(self, name: str, layers: int, size: int | str, parent: str = "") -> list[str]:
        """Import an image of generated files, *size* bytes over all layers.

        Return its committed snapshots NAME-1, NAME-2, ..., the bottom one first.
        """
        return self._change(
            f"snapshotter.import_layers: image {name!r}",
            self._session.import_layers,
            name,
            layers,
            size_of(size),
            parent,
        )

    def write(self, key: str, size: int | str, name: str = "data") -> None:
        """Write *size* bytes of new files named *name* into the active snapshot *key*."""
        self._change(
            f"snapshotter.write: files {name!r} in snapshot {key!r}",
            self._session.write,
            key,
            name,
            size_of(size),
        )

    def overwrite(self, key: str, size: int | str, name: str = "data") -> None:
        """Overwrite the first *size* bytes of the files *name*."""
        self._change(
            f"snapshotter.overwrite: files {name!r} in snapshot {key!r}",
            self._session.overwrite,
            key,
            name,
            size_of(size),
        )

    def delete(self, key: str, name: str = "data") -> None:
        """Delete the files *name*."""
        self._change(
            f"snapshotter.delete: files {name!r} in snapshot {key!r}", self._session.delete, key, name
        )

    def trim(self, key: str) -> None:
        """Run fstrim in the active snapshot *key*."""
        self._change(f"snapshotter.trim: snapshot {key!r}", self._session.trim, key)

    def _change(self, subject: str, work: Callable[..., Awaitable[_Result]], *arguments: object) -> _Result:
        """Run *work* on the files of a snapshot. An OSError of the file system names *subject*."""
        try:
            return self._call(work, *arguments)
        except OSError as error:
            refusal = explained(error, subject)
        raise refusal

    def _call(self, work: Callable[..., Awaitable[_Result]], *arguments: object) -> _Result:
        """Run *work*. The error about a snapshot that does not exist has the nearest name or all names."""
        try:
            return self._portal.call(work, *arguments)
        except NotFoundError as error:
            refusal = error
        known = self.names()
        for name in arguments:
            if isinstance(name, str) and name not in known and repr(name) in str(refusal):
                raise NotFoundError(unknown_name("snapshot", name, known))
        raise refusal.with_traceback(None)


def _with_bytes(size: int) -> str:
    """Return *size* for people, and the exact number that a limit in a test needs."""
    return f"{format_size(size)} ({size} bytes)" if size >= 1024 else f"{size} bytes"
