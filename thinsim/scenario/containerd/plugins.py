"""A `SnapshotterPlugin` configures the snapshotter that containerd uses on the pool of a rig."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.servers import Server
from thinsim.rig.loop_rig import LoopRig
from thinsim.scenario.containerd.config_file import quoted
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.daemon_config import PLUGIN

_DEVMAPPER = """[plugins."{plugin}"]
pool_name = {pool}
root_path = {root}
base_image_size = {base_image_size}
discard_blocks = {discard_blocks}
async_remove = {async_remove}
fs_options = {fs_options}
"""
_PROXY = """[proxy_plugins.{name}]
type = "snapshot"
address = {address}
"""


@dataclass(frozen=True, slots=True)
class SnapshotterPlugin:
    """A `SnapshotterPlugin` has a name for ctr, a *stanza* of config.toml, and containerd's environment."""

    name: str
    stanza: str
    environment: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def devmapper_plugin(
    rig: LoopRig, config: Config, journal: Journal
) -> AsyncIterator[SnapshotterPlugin]:
    """Yield containerd's own devmapper snapshotter, with the dmsetup of the rig."""
    stanza = _DEVMAPPER.format(
        plugin=PLUGIN,
        pool=quoted(config.pool_name),
        root=quoted(config.root_path),
        base_image_size=quoted(config.base_image_size),
        discard_blocks=str(config.discard_blocks).lower(),
        async_remove=str(config.async_remove).lower(),
        fs_options=quoted(config.fs_options),
    )
    yield SnapshotterPlugin("devmapper", stanza, rig.subject_environment())


@asynccontextmanager
async def proxy_plugin(rig: LoopRig, config: Config, journal: Journal) -> AsyncIterator[SnapshotterPlugin]:
    """Run thinsim's snapshotter in its own process, ``thinsim snapshotter serve``, and yield its plugin."""
    file = rig.directory / "snapshotter.toml"
    file.write_text(config.to_toml())
    socket = rig.sockets / "snapshotter.sock"
    server = await Server.start(
        "snapshotter",
        "thinsim",
        [
            *("snapshotter", "serve", "--config", str(file), "--socket", str(socket)),
            *("--journal", str(journal.path)),
            *(("--device-mapper", str(rig.dm.socket)) if isinstance(rig.dm, EmulatedDeviceMapper) else ()),
        ],
        rig.directory / "snapshotter.log",
        journal,
    )
    try:
        yield SnapshotterPlugin("thinsim", _PROXY.format(name="thinsim", address=quoted(socket)))
    finally:
        await server.stop()
