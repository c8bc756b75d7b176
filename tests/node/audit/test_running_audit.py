"""``thinsim audit`` beside a running containerd, and what a reclaim then frees."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.node.containerd.scene import (
    IMAGES,
    MISSING,
    database_paths,
    image_name,
    populate,
    running,
)
from tests.scenario.containerd.builds_here import BUILDS
from thinsim.cli.statuses import BROKEN, DONE, LEAKED
from thinsim.node.active_pools import find_active_pool
from thinsim.scenario.containerd.server import Containerd

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc dmsetup)"
    ),
]


class Audited:
    """An `Audited` runs the command on a pool with its containerd."""

    def __init__(self, directory: Path, root_path: Path, pool: str) -> None:
        self.pool = pool
        self._roots = ("--containerd", str(directory / "containerd/root"), "--devmapper-root", str(root_path))

    async def look(self, status: int) -> dict[str, Any]:
        done = await self.run("audit", *self._roots, "--json")
        assert done.returncode == status, done.stdout + done.stderr.decode()
        [found] = json.loads(done.stdout)
        return dict(found)

    async def page(self, path: Path) -> str:
        await self.run("audit", *self._roots, "--html", str(path))
        return path.read_text()

    async def run(self, command: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
        whole = [sys.executable, "-m", "thinsim", command, self.pool, *words]
        return await trio.run_process(whole, capture_stdout=True, capture_stderr=True, check=False)


async def remove_everything(containerd: Containerd) -> None:
    """Remove containers, images, snapshots and leases, so that the garbage collector removes the devices."""
    for namespace, container in (("default", "first"), ("other", "second")):
        await containerd.ctr("--namespace", namespace, "containers", "rm", container)
    await containerd.ctr("leases", "rm", "lease-of-the-scene")
    await containerd.ctr("snapshots", "--snapshotter", "devmapper", "rm", "kept")
    await containerd.ctr("--namespace", "other", "images", "rm", "--sync", image_name("both"))
    for name in IMAGES:
        await containerd.ctr("images", "rm", "--sync", image_name(name))


def texts(found: dict[str, Any], kind: str) -> list[str]:
    return [each["text"] for each in found["findings"] if each["kind"] == kind]


def content(paths: list[Path]) -> list[tuple[str, int]]:
    return [(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in paths]


@pytest.mark.parametrize("build", BUILDS)
async def test_a_life_of_images_is_audited_and_reclaimed(tmp_path: Path, build: Path | None) -> None:
    async with running(tmp_path, build) as (containerd, root_path, pool):
        await populate(containerd, tmp_path)
        audited = Audited(tmp_path, root_path, pool)
        paths = list(database_paths(tmp_path, root_path, pool).values())
        before = content(paths)
        found = await audited.look(DONE)
        assert content(paths) == before, "the audit writes no database"
        assert not texts(found, "disagreement")
        rows = found["devices"]
        assert all(row["snapshot"] and row["in_pool"] for row in rows)
        held = {holder for row in rows for holder in row["holders"]}
        assert {f"image default/{image_name(name)}" for name in IMAGES} <= held
        assert {
            "container default/first",
            "container other/second",
            "lease default/lease-of-the-scene",
        } <= held
        assert sum(row["exclusive"] for row in rows) <= found["used"]
        assert "Audit of" in await audited.page(tmp_path / "audit.html")
        configured = await audited.run("audit", "--config", str(tmp_path / "containerd/config.toml"))
        assert configured.returncode == DONE, configured.stderr
        assert b"note: discard_blocks is off in " in configured.stdout

        await remove_everything(containerd)
        lost = await audited.look(LEAKED)
        assert lost["reclaimable"] > 0
        owners = lost["former_owners"]
        assert sum(each["bytes"] for each in owners) == lost["reclaimable"]
        sizes = {row["thin_id"]: row["exclusive"] for row in rows}
        assert {each["thin_id"] for each in owners} >= {number for number, size in sizes.items() if size}
        for each in owners:
            assert each["bytes"] <= each["blocks"] * found["block_bytes"]
            assert set(each["devices"]) <= {
                row["device"] for row in rows if row["thin_id"] == each["thin_id"]
            }
        done = await audited.run("reclaim", "--json")
        assert done.returncode == DONE, done.stderr
        assert json.loads(done.stdout)["freed"] == lost["reclaimable"]
        assert (await audited.look(DONE))["reclaimable"] == 0

        dm = (await find_active_pool(pool)).dm
        await dm.message(pool, 0, "create_thin 4711")
        stray = await audited.look(BROKEN)
        assert any("thin id 4711" in text for text in texts(stray, "disagreement"))
        await dm.message(pool, 0, "delete 4711")
