"""`populate` gives a containerd images, containers, leases and snapshots; `printed` asks ctr about them."""

import io
import json
import shutil
import tarfile
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import trio

from tests.scenario.containerd.containerd_answers import Blob, digest, image
from thinsim.machine.journal import Journal
from thinsim.rig.emulated import EMULATED
from thinsim.rig.loop_rig import LoopRig
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.scenario.containerd.builds import find_build
from thinsim.scenario.containerd.plugins import devmapper_plugin
from thinsim.scenario.containerd.server import Containerd, running_containerd
from thinsim.snapshotter.config import Config
from thinsim.units import Bytes

MISSING = [name for name in ("containerd", "ctr", "runc", "dmsetup") if shutil.which(name) is None]

NAMESPACES = ("default", "other")
IMAGES = {"alone": (0,), "both": (0, 1), "long": (0, 1, 2)}
"""The layers of each image, so that the images share some."""

LEASED, COLLECTIBLE, KEPT, VIEW = "leased", "collectible", "kept", "view"
LEASE = "lease-of-the-scene"

_MIB = 1 << 20
_OPTION = ("--snapshotter", "devmapper")


@asynccontextmanager
async def running(
    directory: Path, build: Path | None = None, record: RigRecord = EMULATED
) -> AsyncIterator[tuple[Containerd, Path, str]]:
    """Run a containerd with the devmapper snapshotter on a pool of the rig of *record*.

    Yield it with its root_path and the name of its pool, whose metadata is checked at the end. Its root
    directory is ``containerd/root``.
    """
    journal = Journal.create()
    shape = PoolShape(f"pool-{journal.path.stem}", data_size=Bytes(512 * _MIB), metadata_size=Bytes(8 * _MIB))
    place = directory / "rig"
    place.mkdir()
    async with record.running(place, shape, journal) as rig:
        assert isinstance(rig, LoopRig)
        root_path = directory / "devmapper"
        config = Config.from_table(
            {"root_path": str(root_path), "pool_name": shape.name, "base_image_size": "32MiB"}
        )
        async with (
            devmapper_plugin(rig, config, journal) as plugin,
            running_containerd(
                directory / "containerd", rig.sockets, plugin, journal, find_build(build)
            ) as containerd,
        ):
            yield containerd, root_path, shape.name
        assert await rig.check() == []
    journal.close()


def layer(number: int, content: bytes = b"") -> Blob:
    """Return a layer with one file, which is small if no *content* is given."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        content = content or bytes([number + 1]) * 5000
        info = tarfile.TarInfo(f"file-{number}")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return output.getvalue(), digest(output.getvalue())


def archive(path: Path, name: str, layers: Sequence[Blob] = ()) -> Path:
    """Write the image *name* to *path* as an OCI archive; without *layers*, an image of `IMAGES`."""
    with tarfile.open(path, "w") as tar:
        for member, data in image(name, layers or [layer(number) for number in IMAGES[name]]).items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


async def populate(containerd: Containerd, directory: Path) -> None:
    """Make the scene: two namespaces, three images, two containers, a lease, four further snapshots."""
    for name in IMAGES:
        file = archive(directory / f"{name}.tar", name)
        await containerd.ctr("images", "import", *_OPTION, file)
    await containerd.ctr("--namespace", "other", "images", "import", *_OPTION, directory / "both.tar")
    await containerd.ctr("containers", "create", *_OPTION, image_name("long"), "first", "/program")
    await containerd.ctr(
        *("--namespace", "other", "containers", "create", *_OPTION, image_name("both"), "second", "/program")
    )
    base = next(
        key for key, (parent, _) in (await snapshots_listed(containerd, "default")).items() if not parent
    )
    for key in (LEASED, COLLECTIBLE, KEPT):
        await containerd.ctr("snapshots", *_OPTION, "prepare", key, base)
    await containerd.ctr("snapshots", *_OPTION, "view", VIEW, base)
    await containerd.ctr("leases", "create", "--id", LEASE, "--expires", "0")
    await add_to_lease(containerd, LEASE, LEASED)
    for key in (LEASED, COLLECTIBLE):
        # ctr marks its snapshots as roots of the garbage collector; an empty value removes the label.
        await containerd.ctr("snapshots", *_OPTION, "label", key, "containerd.io/gc.root=")
    await containerd.ctr("namespaces", "label", "other", "purpose=test")


def image_name(name: str) -> str:
    """Return the name under which containerd has an image of the scene."""
    return f"localhost/{name}:latest"


async def add_to_lease(containerd: Containerd, lease: str, key: str) -> None:
    """Let *lease* hold the snapshot *key*. ctr has no command for it, so this calls containerd's service."""

    def call() -> None:
        with LeaseCalls(containerd) as calls:
            calls.add_snapshot(lease, key)

    await trio.to_thread.run_sync(call)


class LeaseCalls:
    """A `LeaseCalls` calls containerd's service for leases, in the namespace default."""

    def __init__(self, containerd: Containerd) -> None:
        config = tomllib.loads((containerd.log.parent / "config.toml").read_text())
        self._channel = grpc.insecure_channel(f"unix://{config['grpc']['address']}")

    def __enter__(self) -> "LeaseCalls":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def create(self, lease: str) -> None:
        self._call("Create", _field(1, lease.encode()))

    def delete(self, lease: str) -> None:
        self._call("Delete", _field(1, lease.encode()))

    def add_snapshot(self, lease: str, key: str) -> None:
        resource = _field(1, key.encode()) + _field(2, b"snapshots/devmapper")
        self._call("AddResource", _field(1, lease.encode()) + _field(2, resource))

    def _call(self, name: str, request: bytes) -> None:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/containerd.services.leases.v1.Leases/{name}"
        )
        method(request, metadata=(("containerd-namespace", "default"),), timeout=30)


def _field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message whose type is a string or a message."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


async def snapshots_listed(containerd: Containerd, namespace: str) -> dict[str, tuple[str, str]]:
    """Return the parent and the kind of each snapshot that ``ctr snapshots ls`` prints."""
    output = await containerd.ctr("--namespace", namespace, "snapshots", *_OPTION, "ls")
    rows = [line.split() for line in output.splitlines()[1:]]
    return {row[0]: (row[1] if len(row) == 3 else "", row[-1]) for row in rows}


async def printed(containerd: Containerd) -> dict[str, Any]:
    """Return what ctr prints about the snapshots, images, containers and leases of each namespace."""
    found: dict[str, Any] = {}
    for namespace in NAMESPACES:

        async def ask(*words: str, namespace: str = namespace) -> str:
            return await containerd.ctr("--namespace", namespace, *words)

        listed = await snapshots_listed(containerd, namespace)
        committed = [key for key, (_, kind) in listed.items() if kind == "Committed"]
        found[namespace] = {
            "snapshots": {key: list(row) for key, row in listed.items()},
            "infos": {key: json.loads(await ask("snapshots", *_OPTION, "info", key)) for key in listed},
            "usages": {
                key: _second_row(await ask("snapshots", *_OPTION, "usage", "-b", key)) for key in committed
            },
            "tree": await ask("snapshots", *_OPTION, "tree"),
            "images": {
                line.split()[0]: line.split()[2] for line in (await ask("images", "ls")).splitlines()[1:]
            },
            "containers": {
                row[0]: row[1] for row in map(str.split, (await ask("containers", "ls")).splitlines()[1:])
            },
            "leases": sorted((await ask("leases", "ls", "-q")).split()),
            "contents": sorted((await ask("content", "ls", "-q")).split()),
        }
    return found


def _second_row(output: str) -> int:
    return int(output.splitlines()[1].split()[1])


def database_paths(directory: Path, root_path: Path, pool: str) -> Mapping[str, Path]:
    """Return the databases of the containerd that `running` ran, by the names of the recorded files."""
    return {
        "meta.db": directory / "containerd/root/io.containerd.metadata.v1.bolt/meta.db",
        "metadata.db": root_path / "metadata.db",
        "pool.db": root_path / f"{pool}.db",
    }
