"""A failed mount leaves neither directory nor journal entry; a busy mount is unmounted again."""

from pathlib import Path

import pytest
import trio

from fuse_backing.mounts import mount_on
from thinsim.errors import ConflictError, EnvironmentLacksError, ProgramFailedError
from thinsim.machine import mounts as recorded_mounts
from thinsim.machine.journal import Journal, TakenKind, read_journal
from thinsim.machine.mounts import RecordedMounter, run_shielded

pytestmark = pytest.mark.rig


@pytest.fixture
def mounter(journal: Journal) -> RecordedMounter:
    return RecordedMounter(journal)


async def test_a_mount_is_on_record_while_it_exists(
    mounter: RecordedMounter, journal: Journal, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    await mounter.mount("none", target, "tmpfs", ("size=1m",))
    mount = mount_on(target)
    assert mount is not None
    (taken,) = read_journal(journal.path).taken
    assert (taken.kind, taken.fields["device"]) == (TakenKind.MOUNT, mount.device)
    await mounter.unmount(target)
    assert not target.exists()
    assert read_journal(journal.path).taken == ()


async def test_a_failed_mount_leaves_neither_directory_nor_entry(
    mounter: RecordedMounter, journal: Journal, tmp_path: Path
) -> None:
    with pytest.raises(ProgramFailedError, match="exit status"):
        await mounter.mount("/nowhere", tmp_path / "target", "ext4", ())
    assert not (tmp_path / "target").exists()
    assert read_journal(journal.path).taken == ()


async def test_a_target_that_cannot_be_made_leaves_no_entry(
    mounter: RecordedMounter, journal: Journal, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        await mounter.mount("none", tmp_path / "file/target", "tmpfs", ())
    assert read_journal(journal.path).taken == ()


async def test_a_second_mount_on_a_target_is_refused(mounter: RecordedMounter, tmp_path: Path) -> None:
    await mounter.mount("none", tmp_path / "target", "tmpfs", ())
    with pytest.raises(ConflictError, match="is mounted already"):
        await mounter.mount("none", tmp_path / "target", "tmpfs", ())
    await mounter.unmount_all()


async def test_a_busy_mount_is_tried_again(
    mounter: RecordedMounter, tmp_path: Path, nursery: trio.Nursery
) -> None:
    target = tmp_path / "target"
    await mounter.mount("none", target, "tmpfs", ())
    opened = (target / "open").open("w")

    async def close_soon() -> None:
        await trio.sleep(0.3)
        opened.close()

    nursery.start_soon(close_soon)
    await mounter.unmount(target)
    assert opened.closed
    assert not target.exists()


async def test_a_mount_that_stays_busy_stays_on_record(
    mounter: RecordedMounter, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_mounts, "BUSY_TRIES", 2)
    target = tmp_path / "target"
    await mounter.mount("none", target, "tmpfs", ())
    with (target / "open").open("w"):
        with pytest.raises(ProgramFailedError, match="busy"):
            await mounter.unmount(target)
        assert len(read_journal(journal.path).taken) == 1
    await mounter.unmount_all()
    assert read_journal(journal.path).taken == ()


async def test_a_mount_that_another_process_has_unmounted_counts_as_unmounted(
    mounter: RecordedMounter, journal: Journal, tmp_path: Path
) -> None:
    await mounter.mount("none", tmp_path / "target", "tmpfs", ())
    await run_shielded(["umount", str(tmp_path / "target")])
    await mounter.unmount(tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert read_journal(journal.path).taken == ()


async def test_cancellation_does_not_tear_a_command_or_keep_a_mount(
    mounter: RecordedMounter, tmp_path: Path
) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await mounter.mount("none", tmp_path / "target", "tmpfs", ())
        await mounter.unmount_all()
    assert not (tmp_path / "target").exists()


async def test_a_missing_command_is_named(mounter: RecordedMounter) -> None:
    with pytest.raises(EnvironmentLacksError, match="thinsim-no-such-command"):
        await run_shielded(["thinsim-no-such-command"])
