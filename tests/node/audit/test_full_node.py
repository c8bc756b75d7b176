"""A node whose disk is full gets its space back while its containers write, and nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.dm.verifying_fio import FioPart, needs_fio, run_fio
from tests.node.containerd.scene import MISSING, archive, image_name, layer, running, snapshots_listed
from thinsim.cli.statuses import DONE, LEAKED
from thinsim.rig.emulated import EMULATED
from thinsim.rig.kernel import KERNEL
from thinsim.rig.record import RigRecord

pytestmark = [
    pytest.mark.extents,
    needs_fio,
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc dmsetup)"
    ),
]

_MIB = 1 << 20
_LAYER = 16 * _MIB
_PART = 4 * _MIB
_SECONDS = 8.0
_OPTION = ("--snapshotter", "devmapper")


async def thinsim(*words: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "thinsim", *words]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


def provision(part: FioPart) -> None:
    """Write the part once, so that fio takes no free block later."""
    words = [f"of={part.device}", "bs=1M", f"count={part.size // _MIB}", f"seek={part.offset // _MIB}"]
    subprocess.run(["dd", "if=/dev/zero", *words, "oflag=direct", "status=none"], check=True)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(EMULATED, marks=pytest.mark.rig, id="emulated"),
        pytest.param(KERNEL, marks=pytest.mark.kernel, id="kernel"),
    ],
)
async def test_the_space_of_a_removed_image_comes_back_under_load(tmp_path: Path, record: RigRecord) -> None:
    async with running(tmp_path, None, record) as (containerd, root_path, pool):
        for number, name in enumerate(("kept", "lost")):
            file = archive(tmp_path / name, name, [layer(number, os.urandom(_LAYER))])
            await containerd.ctr("images", "import", *_OPTION, file)
            if name == "kept":
                (base,) = await snapshots_listed(containerd, "default")
        for key in ("one", "two"):
            await containerd.ctr("snapshots", *_OPTION, "prepare", key, base)
        devices = sorted(Path("/dev/mapper").glob(f"{pool}-*"))
        parts = [FioPart(device, 24 * _MIB, _PART) for device in devices]
        assert len(parts) == 2, "the two prepared snapshots alone are active"
        for part in parts:
            await trio.to_thread.run_sync(provision, part)
        roots = ("--containerd", str(tmp_path / "containerd/root"), "--devmapper-root", str(root_path))
        [before] = json.loads((await thinsim("audit", pool, *roots, "--json")).stdout)
        [layer_of_lost] = [
            row for row in before["devices"] if f"image default/{image_name('lost')}" in row["holders"]
        ]
        await containerd.ctr("images", "rm", "--sync", image_name("lost"))

        looked = await thinsim("audit", pool, *roots, "--json")
        assert looked.returncode == LEAKED, looked.stderr
        [audit] = json.loads(looked.stdout)
        assert audit["reclaimable"] > 0.9 * _LAYER
        assert not [each for each in audit["findings"] if each["kind"] == "disagreement"]
        assert all(row["names"] for row in audit["devices"])
        owner = audit["former_owners"][0]
        assert owner["thin_id"] == layer_of_lost["thin_id"]
        assert owner["devices"] == [layer_of_lost["device"]]
        assert owner["bytes"] > 0.9 * _LAYER
        assert sum(each["bytes"] for each in audit["former_owners"]) == audit["reclaimable"]

        found: list[Any] = []

        async def reclaim() -> None:
            await trio.sleep(_SECONDS / 4)
            done = await thinsim("reclaim", pool, "--pause", "10ms", "--rate", "8M", "--json")
            assert done.returncode == DONE, done.stderr
            found.append(json.loads(done.stdout))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reclaim)
            written, verified = await run_fio(parts, tmp_path, _SECONDS, 22)
        [result] = found
        print(
            f"{result['freed']} of {audit['reclaimable']} bytes in {result['pauses']} pauses, the longest "
            f"{result['longest_pause'] * 1000:.0f} ms; fio wrote {written} and verified {verified} bytes"
        )
        assert min(written, verified) > 0
        assert result["freed"] >= 0.99 * audit["reclaimable"]
        assert (result["left"], result["complete"]) == (0, True)
        assert (await thinsim("audit", pool, *roots)).returncode == DONE
