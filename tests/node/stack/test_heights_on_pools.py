"""Discards of ext4 on an emulated thin device are followed through pool and store to the host's file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.node.stack.mounted_image import EXT4, MIB, attached_image, mounted, mounted_image
from thinsim.machine.journal import Journal
from thinsim.node.stack.height import HeightKind, Lower
from thinsim.node.stack.probe import probe
from thinsim.node.stack.walking import stack_of
from thinsim.rig.emulated_stack import EmulatedStack, open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes, Sectors

pytestmark = [pytest.mark.rig, pytest.mark.extents]

NAME = f"heights-{os.getpid()}"
BELOW_POOL = [HeightKind.LOOP, HeightKind.IMAGE, HeightKind.STORE, HeightKind.FILE, HeightKind.FILE_SYSTEM]


def shape(block: int = 64 << 10, *features: str) -> PoolShape:
    return PoolShape(
        NAME,
        data_size=Bytes(256 * MIB),
        metadata_size=Bytes(4 * MIB),
        block_size=Sectors(block // 512),
        features=("skip_block_zeroing", *features),
    )


@asynccontextmanager
async def thin_device(directory: Path, of: PoolShape, journal: Journal) -> AsyncIterator[Path]:
    async with open_stack(directory, of, journal) as stack:
        await make_thin(stack, of)
        try:
            yield Path(stack.dm.path(f"{NAME}-thin"))
        finally:
            await stack.dm.remove(f"{NAME}-thin", retry=True)
            assert await stack.dm.check(NAME) == []
            await stack.dm.remove(NAME)


async def make_thin(stack: EmulatedStack, of: PoolShape) -> None:
    await stack.dm.create(NAME, stack.pool_table(of))
    await stack.dm.message(NAME, 0, "create_thin 1")
    await stack.dm.create(f"{NAME}-thin", f"0 {200 * MIB // 512} thin {stack.dm.path(NAME)} 1")


def command(*words: str | Path) -> Sequence[str]:
    return [sys.executable, "-m", "thinsim", "heights", *map(str, words)]


def run_command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=120)


async def test_ext4_on_a_thin_device_frees_its_blocks_at_every_height(
    tmp_path: Path, journal: Journal
) -> None:
    async with thin_device(tmp_path, shape(), journal) as device:
        with mounted(device, tmp_path / "root") as root:
            stack = await stack_of(root)
            kinds = [each.kind for each in stack.heights]
            assert kinds[:8] == [HeightKind.FILE_SYSTEM, HeightKind.THIN, HeightKind.THIN_POOL, *BELOW_POOL]
            assert stack.heights[1].name == str(device)
            assert (stack.heights[1].unit, stack.heights[2].pool_block) == (65536, 65536)
            done = await trio.to_thread.run_sync(
                run_command, "--probe", "--size", "16M", "--json", "-q", root
            )
        assert (done.returncode, done.stderr) == (0, "")
        document = json.loads(done.stdout)
        assert [each["kind"] for each in document["heights"]] == [kind.value for kind in kinds]
        (trial,) = document["probe"]["trials"]
        assert (trial["death"], document["probe"]["smallest_that_lived"]) == (None, 16 * MIB)
        freed = {each["height"]: each["freed"] for each in trial["effects"] if each["freed"] is not None}
        assert sorted(freed) == [2, 4, 6]
        assert all(14 * MIB <= size <= 17 * MIB for size in freed.values()), freed
        arrived = {each["height"]: each["arrived"] for each in trial["effects"]}
        assert arrived[1] >= 16 * MIB
        assert arrived[3] == freed[2] or abs(arrived[3] - freed[2]) <= 2 * MIB
        assert not list(root.iterdir())


async def test_discards_of_a_small_file_die_at_a_pool_with_large_blocks(
    tmp_path: Path, journal: Journal
) -> None:
    async with thin_device(tmp_path, shape(4 * MIB), journal) as device:
        with mounted(device, tmp_path / "root") as root:
            done = await trio.to_thread.run_sync(run_command, "--probe", "--size", "1M", "--json", root)
            shown = await trio.to_thread.run_sync(run_command, "--probe", "--size", "1M", "-q", root)
    assert (done.returncode, shown.returncode, shown.stderr) == (3, 3, "")
    document = json.loads(done.stdout)
    first, *_, last = document["probe"]["trials"]
    assert first["death"]["height"] in (0, 1)
    assert all(not each["freed"] for each in first["effects"])
    assert (last["death"], last["size"]) == (None, document["least"]["certain"])
    assert document["probe"]["smallest_that_lived"] == document["least"]["certain"]
    assert document["least"]["aligned"] == 4 * MIB
    assert "The discards died at height" in shown.stdout
    assert "A file of 8.0 MiB would have lived, as a trial shows." in shown.stdout


async def test_a_pool_without_passdown_is_where_discards_die(tmp_path: Path, journal: Journal) -> None:
    async with thin_device(tmp_path, shape(64 << 10, "no_discard_passdown"), journal) as device:
        with mounted(device, tmp_path / "root") as root:
            stack = await stack_of(root)
            found = await probe(root, stack, 8 * MIB, lambda text: None)
            reading = await trio.to_thread.run_sync(run_command, root)
    assert [each.kind for each in stack.heights if not each.passes] == [HeightKind.THIN_POOL]
    assert stack.heights[2].reason == "the pool's table has no_discard_passdown"
    (trial,) = found.trials
    assert trial.death is not None
    assert (trial.death.height, trial.death.reason) == (2, "the pool's table has no_discard_passdown")
    pool = next(each for each in trial.effects if each.height == 2)
    assert pool.freed is not None
    assert pool.freed >= 6 * MIB
    assert reading.returncode == 3
    assert f"Discards die at height 2, thin-pool /dev/mapper/{NAME}: the pool's table has" in reading.stdout


async def test_a_pool_that_ignores_discards_stops_them_at_the_thin_device(
    tmp_path: Path, journal: Journal
) -> None:
    async with thin_device(tmp_path, shape(64 << 10, "ignore_discard"), journal) as device:
        stack = await stack_of(device)
    assert not stack.heights[0].passes
    assert stack.heights[0].reason == stack.heights[1].reason == "the pool's table has ignore_discard"


async def test_a_linear_device_passes_discards_at_its_place(tmp_path: Path, journal: Journal) -> None:
    name, start = f"{NAME}-linear", 8 * MIB
    with attached_image(tmp_path) as (lower, image):
        async with open_stack(tmp_path, shape(), journal) as stack:
            table = f"0 {200 * MIB // 512} linear {lower} {start // 512}"
            await stack.dm.create(name, table)
            try:
                with mounted(Path(stack.dm.path(name)), tmp_path / "root") as root:
                    found = await stack_of(root)
                    probed = await probe(root, found, 8 * MIB, lambda text: None)
            finally:
                await stack.dm.remove(name, retry=True)
    kinds = [each.kind for each in found.heights[:4]]
    assert kinds == [HeightKind.FILE_SYSTEM, HeightKind.LINEAR, HeightKind.LOOP, HeightKind.IMAGE]
    assert found.heights[1].below == (Lower(2, 0, 200 * MIB, start),)
    assert found.heights[3].name == str(image)
    (trial,) = probed.trials
    assert trial.death is None
    freed = trial.effects[-1].freed
    assert freed is not None
    assert abs(freed - 8 * MIB) <= MIB


def test_an_interrupted_probe_leaves_neither_file_nor_used_space(tmp_path: Path) -> None:
    with mounted_image(tmp_path, EXT4) as made:
        free = os.statvfs(made.root).f_bfree
        words = command("--probe", "--size", "300M", made.root)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while os.statvfs(made.root).f_bfree > free - 1000 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            try:
                out, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        assert (process.returncode, out) == (130, "")
        assert "Interrupted; cleaning up." in errors
        assert {path.name for path in made.root.iterdir()} <= {"lost+found"}
        subprocess.run(["sync", "-f", made.root], check=True)
        assert os.statvfs(made.root).f_bfree == free
