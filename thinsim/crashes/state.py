"""A `CrashState` has the contents of the store, the device records, the pool and the host at one moment.

It is read without the snapshotter: from the two databases, the pool's mappings and the host's extent map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thinsim.crashes.stage import CrashStage
from thinsim.ranges import bytes_per_block
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.device_state import DeviceState
from thinsim.snapshotter.device_store import DeviceRecord, DeviceStore, ThinIdState
from thinsim.snapshotter.interface import Kind
from thinsim.snapshotter.metastore import MetaStore

_USABLE = {
    Kind.COMMITTED: (DeviceState.DEACTIVATED,),
    Kind.ACTIVE: (DeviceState.ACTIVATED,),
    Kind.VIEW: (DeviceState.ACTIVATED,),
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A `Snapshot` is a snapshot as the store has it, with the name of its device."""

    kind: Kind
    parent: str
    device: str


@dataclass(frozen=True, slots=True)
class CrashState:
    """A `CrashState` has the state of a pool and its snapshots.

    *waiting* names the devices that wait for cleanup. *mapped* is in bytes and counts a shared block once.
    *leaked* is the number of bytes that the host has allocated and no mapping needs.
    """

    snapshots: Mapping[str, Snapshot]
    waiting: frozenset[str]
    devices: Mapping[str, DeviceRecord]
    thin_ids: Mapping[int, ThinIdState]
    in_pool: frozenset[int]
    nodes: Mapping[str, bool]
    """The active devices of the pool; the value is True for a suspended device."""
    mapped: int
    leaked: int

    @property
    def shown(self) -> Mapping[str, tuple[Kind, str]]:
        """Return the kind and parent of each snapshot, as a client of the snapshotter sees them."""
        return {name: (each.kind, each.parent) for name, each in self.snapshots.items()}

    def disagreements(self) -> list[str]:
        """Return the disagreements between the store, the device records and the pool."""
        return [*self._of_snapshots(), *self._of_devices(), *self._of_thin_ids(), *self._of_nodes()]

    def _of_snapshots(self) -> list[str]:
        found = []
        for name, snapshot in sorted(self.snapshots.items()):
            device = self.devices.get(snapshot.device)
            if device is None:
                found.append(f"{name} has no device")
            elif device.thin_id not in self.in_pool:
                found.append(f"{name} ({device.state}) is not in the pool")
            elif device.state not in _USABLE[snapshot.kind]:
                found.append(f"{name} {device.state}")
        return found

    def _of_devices(self) -> list[str]:
        owned = {snapshot.device for snapshot in self.snapshots.values()}
        found = []
        for name, device in sorted(self.devices.items()):
            if name not in owned and not (name in self.waiting and device.state is DeviceState.REMOVED):
                where = "in the pool" if device.thin_id in self.in_pool else "not in the pool"
                found.append(f"a device without a snapshot, {device.state}, {where}")
        found += ["a removal that waits has no device"] * len(self.waiting - self.devices.keys())
        return found

    def _of_thin_ids(self) -> list[str]:
        used = {device.thin_id for device in self.devices.values()}
        found = []
        for thin_id in sorted(self.in_pool | self.thin_ids.keys()):
            state = self.thin_ids.get(thin_id, ThinIdState.FREE)
            if thin_id in used:
                continue
            if thin_id in self.in_pool:
                found.append("a thin id in the pool has no device")
            elif state is not ThinIdState.FREE:
                found.append("a thin id is not free and has no device")
        return found

    def _of_nodes(self) -> list[str]:
        active = {
            snapshot.device for snapshot in self.snapshots.values() if snapshot.kind is not Kind.COMMITTED
        }
        names = {snapshot.device: name for name, snapshot in self.snapshots.items()}
        found = []
        for node, suspended in sorted(self.nodes.items()):
            if suspended:
                found.append(f"{names.get(node, 'a device')} is suspended")
            elif node not in active | self.waiting and node not in self.devices:
                found.append("an active device without a record")
            elif names.get(node) and node not in active:
                found.append(f"{names[node]} is still active")
        return found


async def look(stage: CrashStage, config: Config) -> CrashState:
    """Return the current state of *stage* and of the snapshotter with *config*."""
    pool = config.pool_name
    prefix = f"{pool}-snap-"
    store = MetaStore(config.root_path / "metadata.db")
    metadata = DeviceStore(config.root_path / f"{pool}.db")
    try:
        records = store.read.all()
        snapshots = {
            each.info.name: Snapshot(each.info.kind, each.info.parent, f"{prefix}{each.id}")
            for each in records
        }
        waiting = frozenset(f"{prefix}{number}" for number in store.read.waiting())
        devices = {device.name: device for device in metadata.devices()}
        thin_ids = metadata.thin_ids()
    finally:
        store.close()
        metadata.close()
    dm = stage.rig.dm
    nodes = {name: (await dm.info(name)).suspended for name in await dm.list() if name.startswith(f"{pool}-")}
    await stage.rig.settle()
    allocation = await stage.rig.host_allocation()
    mappings = await stage.rig.mappings()
    block_bytes = stage.rig.shape.block_bytes
    mapped = {
        block
        for runs in mappings.values()
        for run in runs
        for block in range(run.data_block, run.data_block + run.length)
    }
    leaked = sum(
        size for block, size in bytes_per_block(allocation.ranges, block_bytes) if block not in mapped
    )
    return CrashState(
        snapshots,
        waiting,
        devices,
        thin_ids,
        frozenset(mappings),
        nodes,
        len(mapped) * block_bytes,
        leaked,
    )


def state_in_words(state: CrashState, before: CrashState, after: CrashState) -> str:
    """Return a text with the progress of the operation between *before* and *after* and all disagreements."""
    if state.shown == after.shown != before.shown:
        happened = "done"
    elif state.shown == before.shown:
        happened = "not done" if before.shown != after.shown else ""
    else:
        happened = f"partly done: {', '.join(sorted(state.shown))} exist"
    return "; ".join([*([happened] if happened else []), *_counted(state.disagreements())]) or "agrees"


def _counted(texts: Sequence[str]) -> list[str]:
    return [
        text if texts.count(text) == 1 else f"{text} ({texts.count(text)} times)"
        for text in dict.fromkeys(texts)
    ]
