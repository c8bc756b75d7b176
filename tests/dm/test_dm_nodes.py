"""The kernel sees thin devices as nodes: file systems, freezing, discards, removal, and servers that end."""

import errno
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.dm.device_oracle import Oracle
from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    EmulatedMapper,
    direct_read,
    direct_write,
    emulated_mapper,
    failing,
    make_pool,
    make_thin,
    snap,
    thin_table,
)
from thinsim.block import kernel_view, loop
from thinsim.errors import DeviceMapperError, ProgramFailedError
from thinsim.rig.host_file import host_allocation
from thinsim.thin.status import parse_pool_status

pytestmark = pytest.mark.rig

MKFS = ("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0")


async def command(*words: object) -> str:
    done = await trio.run_process(
        [str(word) for word in words], capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout.decode()}"
    return done.stdout.decode()


@pytest.fixture
async def formatted(emulated: EmulatedMapper, tmp_path: Path) -> AsyncIterator[EmulatedMapper]:
    """Create a pool with the thin device ``thin`` (id 1, 32 MiB, ext4) mounted on ``tmp_path/mounted``."""
    await make_pool(emulated, "0 1 skip_block_zeroing")
    await make_thin(emulated, "thin", 1, 512)
    await command(*MKFS, emulated.dm.path("thin"))
    target = tmp_path / "mounted"
    target.mkdir()
    await command("mount", "-t", "ext4", emulated.dm.path("thin"), target)
    yield emulated
    if target.is_mount():
        await command("umount", target)


async def test_files_survive_unmounting_and_removal(formatted: EmulatedMapper, tmp_path: Path) -> None:
    dm, target = formatted.dm, tmp_path / "mounted"
    files = {f"file-{number}": os.urandom(number * 30_000) for number in range(20)}
    for name, content in files.items():
        await trio.Path(target / name).write_bytes(content)
    await command("umount", target)
    await dm.remove("thin")
    await dm.remove(POOL)
    await make_pool(formatted, "0 1 skip_block_zeroing")
    await dm.create("thin", thin_table(1, 512))
    await command("e2fsck", "-fn", dm.path("thin"))
    await command("mount", "-t", "ext4", dm.path("thin"), target)
    for name, content in files.items():
        assert await trio.Path(target / name).read_bytes() == content
    await command("umount", target)


async def test_a_suspend_freezes_and_a_snapshot_of_the_frozen_is_clean(
    formatted: EmulatedMapper, tmp_path: Path
) -> None:
    dm, target = formatted.dm, tmp_path / "mounted"
    await trio.Path(target / "before").write_bytes(b"b" * 300_000)
    await dm.suspend("thin")
    written: list[str] = []

    async def write() -> None:
        await trio.Path(target / "after").write_bytes(b"a" * 300_000)
        written.append("after")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.2)
        await dm.message(POOL, 0, "create_snap 2 1")
        await dm.create("snap", thin_table(2, 512))
        assert written == []
        await dm.resume("thin")
    assert written == ["after"]
    await command("e2fsck", "-fn", dm.path("snap"))
    other = tmp_path / "snap"
    other.mkdir()
    await command("mount", "-t", "ext4", "-o", "ro", dm.path("snap"), other)
    try:
        assert sorted(os.listdir(other)) == ["before", "lost+found"]  # noqa: PTH208
        assert await trio.Path(other / "before").read_bytes() == b"b" * 300_000
    finally:
        await command("umount", other)


async def test_a_mounted_device_is_busy_and_goes_on(formatted: EmulatedMapper, tmp_path: Path) -> None:
    dm, target = formatted.dm, tmp_path / "mounted"
    assert (await dm.info("thin")).open_count == 1
    for _ in range(2):
        with pytest.raises(DeviceMapperError) as caught:
            await dm.remove("thin")
        assert caught.value.errno == errno.EBUSY
    await trio.Path(target / "file").write_bytes(b"x" * 100_000)
    await command("umount", target)
    assert (await dm.info("thin")).open_count == 0
    await dm.remove("thin")
    assert not dm.path("thin").is_symlink()


async def test_a_busy_device_stays_suspended(formatted: EmulatedMapper) -> None:
    await formatted.dm.suspend("thin")
    with pytest.raises(DeviceMapperError):
        await formatted.dm.remove("thin")
    assert (await formatted.dm.info("thin")).suspended
    await formatted.dm.resume("thin")


async def test_a_deferred_removal_happens_at_umount(formatted: EmulatedMapper, tmp_path: Path) -> None:
    dm, target = formatted.dm, tmp_path / "mounted"
    await dm.remove("thin", deferred=True)
    assert (await dm.info("thin")).deferred_remove
    await dm.remove("thin", deferred=True)
    with pytest.raises(DeviceMapperError) as caught:
        await dm.remove("thin")
    assert caught.value.errno == errno.EBUSY
    await trio.Path(target / "file").write_bytes(b"x" * 100_000)
    with pytest.raises(DeviceMapperError) as caught:
        await dm.message(POOL, 0, "delete 1")
    assert caught.value.errno == errno.EBUSY
    await command("umount", target)
    with trio.fail_after(60):
        await _until_gone(formatted, "thin")
    assert not dm.path("thin").is_symlink()
    await dm.message(POOL, 0, "delete 1")


async def _until_gone(mapper: EmulatedMapper, name: str) -> None:
    while name in await mapper.dm.list():
        await trio.sleep(0.01)


async def test_fstrim_frees_the_blocks_of_deleted_files(formatted: EmulatedMapper, tmp_path: Path) -> None:
    dm, target = formatted.dm, tmp_path / "mounted"
    await trio.Path(target / "file").write_bytes(os.urandom(8 << 20))
    await command("sync", "-f", target)
    full = parse_pool_status(await dm.status(POOL)).used_data
    await trio.Path(target / "file").unlink()
    await command("sync", "-f", target)
    await command("fstrim", target)
    assert parse_pool_status(await dm.status(POOL)).used_data <= full - (8 << 20) // BLOCK
    assert (await formatted.stack.store.totals()).freed > 0


async def test_a_discard_frees_on_the_host_as_much_as_the_ledger_has(emulated: EmulatedMapper) -> None:
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    await emulated.write("thin", 0, os.urandom(20 * BLOCK))
    await make_thin(emulated, "other", 2)
    await emulated.write("other", 0, os.urandom(3 * BLOCK))
    data = emulated.stack.data.path

    async def allocated() -> int:
        await command("sync", data)
        return (await trio.to_thread.run_sync(host_allocation, emulated.stack.data_file)).allocated

    before = await allocated()
    await command("blkdiscard", emulated.dm.path("thin"))
    after = await allocated()
    ledger = (await emulated.stack.store.totals_by_file())["data"]
    assert before - after == ledger.freed == 20 * BLOCK
    assert after == 3 * BLOCK


async def test_the_discard_granularity_is_the_data_block(emulated: EmulatedMapper) -> None:
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    limits = kernel_view.discard_limits(emulated.dm.path("thin").resolve())
    assert limits.granularity == BLOCK
    assert limits.max_bytes >= BLOCK


async def test_a_node_in_the_way_is_left_alone(emulated: EmulatedMapper, tmp_path: Path) -> None:
    await make_pool(emulated)
    await emulated.dm.message(POOL, 0, "create_thin 1")
    link = emulated.dm.path("thinsim-test-foreign")
    link.symlink_to(tmp_path)
    try:
        with pytest.raises(DeviceMapperError) as caught:
            await emulated.dm.create(link.name, thin_table(1))
        assert caught.value.errno == errno.EBUSY
        assert link.readlink() == tmp_path
    finally:
        link.unlink()
    await emulated.dm.message(POOL, 0, "delete 1")


async def test_two_threads_write_to_two_devices_at_once(emulated: EmulatedMapper) -> None:
    await make_pool(emulated)
    contents = {}
    for number in range(2):
        await make_thin(emulated, f"thin-{number}", number, 64)
        contents[f"thin-{number}"] = os.urandom(64 * BLOCK)

    def fill(name: str) -> None:
        for offset in range(0, 64 * BLOCK, 3 * 4096):
            piece = contents[name][offset : offset + 3 * 4096]
            direct_write(emulated.dm.path(name), offset, piece)

    async with trio.open_nursery() as nursery:
        for name in contents:
            nursery.start_soon(trio.to_thread.run_sync, fill, name)
    for name, content in contents.items():
        assert await emulated.read(name, 0, len(content)) == content


async def test_names_come_and_go_quickly(emulated: EmulatedMapper) -> None:
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    oracle = Oracle(emulated)
    oracle.add("thin", 32)
    for _ in range(12):
        await oracle.write_somewhere("thin")
        await emulated.dm.remove("thin")
        await emulated.dm.create("thin", thin_table(1))
    await oracle.verify()


@asynccontextmanager
async def losing_a_server(directory: Path) -> AsyncIterator[EmulatedMapper]:
    """Start a mapper whose tear-down finds a server gone."""
    with pytest.raises(ProgramFailedError, match="ended unexpectedly"):
        async with emulated_mapper(directory) as mapper:
            yield mapper


async def test_a_terminated_daemon_leaves_nothing_behind(tmp_path: Path) -> None:
    async with losing_a_server(tmp_path) as mapper:
        await make_pool(mapper)
        await make_thin(mapper, "thin", 1)
        await mapper.write("thin", 0, b"x" * BLOCK)
        await snap(mapper, "snap", 2, "thin", 1)
        await mapper.dm.suspend("snap")
        links = [mapper.dm.path(name) for name in ("thin", "snap")]
        server = mapper.stack.dm_server.process
        server.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            assert await server.wait() == 0
        assert not any(link.is_symlink() for link in links)
        volumes = str(tmp_path / "volumes")
        assert not [file for file in loop.attached_devices().values() if file.startswith(volumes)]
        assert not Path(volumes).is_mount()
        metadata = await trio.to_thread.run_sync(direct_read, mapper.stack.metadata.path, 0, 512)
        assert metadata.startswith(b"thinslot")


async def test_a_killed_store_ends_writes_with_eio(tmp_path: Path) -> None:
    async with losing_a_server(tmp_path) as mapper:
        await make_pool(mapper)
        await make_thin(mapper, "thin", 1, 512)
        await mapper.write("thin", 0, b"x" * BLOCK)

        def write_for_ever() -> None:
            while True:
                for block in range(512):
                    direct_write(mapper.dm.path("thin"), block * BLOCK, b"y" * BLOCK)

        async def kill() -> None:
            await trio.sleep(0.2)
            mapper.stack.store_server.process.kill()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill)
                with failing(errno.EIO):
                    await trio.to_thread.run_sync(write_for_ever)
            await mapper.dm.message(POOL, 0, "create_thin 9")
            words = (await mapper.dm.status(POOL)).split()
        assert {"ro", "Fail"} & set(words), words
        await mapper.dm.remove("thin")
        await mapper.dm.remove(POOL)
