"""Debian's containerd, ctr and runc can use thinsim's snapshotter as a proxy plugin."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from thinsim.machine.journal import Journal
from thinsim.rig import emulated
from thinsim.rig.emulated import EmulatedRig
from thinsim.rig.shape import PoolShape
from thinsim.scenario.containerd.plugins import proxy_plugin
from thinsim.scenario.containerd.server import Containerd, running_containerd
from thinsim.snapshotter.config import Config
from thinsim.units import Bytes
from thinsim.workload.image import build_image

MISSING = [name for name in ("containerd", "ctr", "runc", "busybox") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"missing: {', '.join(MISSING)} (see make test)",
    ),
]

MIB = 1 << 20
OPTION = ("--snapshotter", "thinsim")
WRITTEN = 8 * MIB


@dataclass
class ContainerdOnThePlugin:
    """A `ContainerdOnThePlugin` is a containerd that uses the plugin, with the rig below."""

    containerd: Containerd
    rig: EmulatedRig
    image: Path

    async def snapshots(self, *words: str) -> str:
        return await self.containerd.ctr("snapshots", *OPTION, *words)

    async def listed(self) -> dict[str, tuple[str, str]]:
        """Return the output of ``ctr snapshots ls``: parent and kind by key."""
        lines = (await self.snapshots("ls")).splitlines()
        assert lines[0].split() == ["KEY", "PARENT", "KIND"]
        rows = [line.split() for line in lines[1:]]
        return {row[0]: (row[1] if len(row) == 3 else "", row[-1]) for row in rows}

    async def usage(self, key: str) -> int:
        return int((await self.snapshots("usage", "-b", key)).splitlines()[1].split()[1])

    async def allocated(self) -> int:
        await self.rig.settle()
        return (await self.rig.host_allocation()).allocated

    async def run_container(self, name: str) -> None:
        busybox = shutil.which("busybox")
        await self.containerd.ctr(
            *("run", *OPTION, "--null-io", f"--mount=type=bind,src={busybox},dst=/busybox,options=rbind:ro"),
            *(self.image_name, name, "/busybox", "dd", "if=/dev/urandom", "of=/written", "bs=1M"),
            *(f"count={WRITTEN // MIB}", "conv=fsync"),
        )

    image_name: str = ""


@asynccontextmanager
async def served(directory: Path, profile: str) -> AsyncIterator[ContainerdOnThePlugin]:
    sources = directory / "sources"
    sources.mkdir(mode=0o755)
    for number in range(48):
        (sources / f"file{number}").write_bytes(bytes([number + 1]) * (256 << 10))
    build_image(directory / "image.tar", size=4 * MIB, sources=[sources])
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=Bytes(512 * MIB), metadata_size=Bytes(8 * MIB))
    place = directory / "rig"
    place.mkdir()
    async with emulated.running(place, shape, journal) as rig:
        config = Config.from_table(
            {
                "root_path": str(place / "snapshotter"),
                "pool_name": shape.name,
                "base_image_size": "64MiB",
                "discard_blocks": True,
                "profile": profile,
            }
        )
        async with (
            proxy_plugin(rig, config, journal) as plugin,
            running_containerd(place / "containerd", rig.sockets, plugin, journal) as containerd,
        ):
            made = ContainerdOnThePlugin(containerd, rig, directory / "image.tar")
            await containerd.ctr("images", "import", *OPTION, made.image)
            (made.image_name,) = (await containerd.ctr("images", "ls", "-q")).split()
            yield made
        assert await rig.check() == []
    journal.close()


@pytest.mark.parametrize("profile", ["containerd", "fixed"])
async def test_an_image_and_a_container_come_and_go(tmp_path: Path, profile: str) -> None:
    async with served(tmp_path, profile) as on:
        layers = await on.listed()
        assert len(layers) == 4
        assert {kind for _, kind in layers.values()} == {"Committed"}
        (top,) = set(layers) - {parent for parent, _ in layers.values()}
        assert sum([await on.usage(layer) for layer in layers]) >= 4 * MIB
        of_image = await on.allocated()

        await on.run_container("c")
        assert (await on.listed())["c"] == (top, "Active")
        assert WRITTEN <= await on.usage("c") <= WRITTEN + 2 * MIB
        assert await on.allocated() >= of_image + WRITTEN
        await on.containerd.ctr("containers", "rm", "c")
        await on.containerd.collect_garbage()
        assert await on.listed() == layers
        # The container overwrote the shared blocks; the difference is the overhead of the file system.
        assert await on.allocated() <= of_image + MIB

        await on.snapshots("prepare", "by-hand", top)
        await on.snapshots("view", "a-view", top)
        assert (await on.usage("a-view") < 0) == (profile == "containerd")
        await on.snapshots("rm", "by-hand")
        # ctr sets no label on a view that would keep it from the garbage collector.
        await on.containerd.collect_garbage()
        assert await on.listed() == layers

        await on.containerd.ctr("images", "rm", "--sync", on.image_name)
        assert await on.listed() == {}
        assert await on.rig.mappings() == {}
        left = await on.allocated()
        assert left == 0 if profile == "fixed" else left >= 4 * MIB
