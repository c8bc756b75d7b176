"""The commands of containerd's page about its devmapper snapshotter work as a user types them.

The page is docs/snapshotters/devmapper.md of containerd. The images come from a registry on loopback, in
place of Docker's.
"""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from tests.scenario.containerd.builds_here import BUILDS
from thinsim.machine.journal import Journal
from thinsim.rig import emulated
from thinsim.rig.emulated import EmulatedRig
from thinsim.rig.shape import PoolShape
from thinsim.scenario.containerd.builds import find_build
from thinsim.scenario.containerd.plugins import devmapper_plugin
from thinsim.scenario.containerd.server import Containerd, running_containerd
from thinsim.snapshotter.config import Config
from thinsim.units import Bytes
from thinsim.workload.image.built import build_image

MIB = 1 << 20
MISSING = [
    name for name in ("containerd", "ctr", "runc", "busybox", "docker-registry") if shutil.which(name) is None
]
PATIENCE = 30

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"missing: {', '.join(MISSING)} "
        "(apt-get install containerd runc busybox-static docker-registry)",
    ),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """Run a registry of images, and yield its address."""
    port = free_port()
    config = directory / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'images'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


async def answers(address: str) -> None:
    """Return when the registry takes connections."""
    host, port = address.split(":")
    with trio.fail_after(PATIENCE):
        while True:
            try:
                stream = await trio.open_tcp_stream(host, int(port))
            except OSError:
                await trio.sleep(0.05)
            else:
                await stream.aclose()
                return


@asynccontextmanager
async def serving(directory: Path, build: Path | None) -> AsyncIterator[tuple[Containerd, EmulatedRig]]:
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
            }
        )
        async with (
            devmapper_plugin(rig, config, journal) as plugin,
            running_containerd(
                place / "containerd", rig.sockets, plugin, journal, find_build(build)
            ) as containerd,
        ):
            yield containerd, rig
        assert await rig.check() == []
    journal.close()


@pytest.mark.parametrize("build", BUILDS)
async def test_an_image_is_pulled_and_run(tmp_path: Path, build: Path | None) -> None:
    sources = tmp_path / "sources"
    sources.mkdir(mode=0o755)
    for number in range(48):
        (sources / f"file{number}").write_bytes(bytes([number + 1]) * (64 << 10))
    build_image(tmp_path / "image.tar", size=MIB, sources=[sources])
    busybox = f"--mount=type=bind,src={shutil.which('busybox')},dst=/busybox,options=rbind:ro"
    with registry(tmp_path) as address:
        await answers(address)
        image = f"{address}/library/hello:latest"
        async with serving(tmp_path, build) as (containerd, rig):
            ctr = containerd.ctr
            # Fill the registry.
            await ctr("images", "import", "--snapshotter", "devmapper", tmp_path / "image.tar")
            names = (await ctr("images", "ls", "-q")).split()
            await ctr("images", "tag", names[0], image)
            await ctr("images", "push", "--plain-http", image)
            await ctr("images", "rm", "--sync", image, *names)
            assert await rig.mappings() == {}

            await ctr("images", "pull", "--plain-http", "--snapshotter", "devmapper", image)
            assert len(await rig.mappings()) == 4
            run = ("run", "--rm", "--snapshotter", "devmapper", busybox, image, "test")
            found = await ctr(*run, "/busybox", "echo", "hello")
            assert found == "hello\n"
            await ctr("images", "rm", "--sync", image)
            await containerd.collect_garbage()
            assert await rig.mappings() == {}
