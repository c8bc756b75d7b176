"""The users of a block device and of a mount are named: mounts, processes, loop devices."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from thinsim.block import loop
from thinsim.machine.device_users import users_of_device, users_of_mount

pytestmark = pytest.mark.rig


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "file"
    with file.open("wb") as made:
        made.truncate(16 << 20)
    attached = loop.attach(file)
    yield attached.path
    loop.detach(attached)


@pytest.fixture
def mounted(device: Path, tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "mounted"
    target.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, target], check=True)
    yield target
    subprocess.run(["umount", target], check=True)


def test_a_device_without_users_and_a_missing_one_have_none(device: Path, tmp_path: Path) -> None:
    assert users_of_device(device) == []
    assert users_of_device(tmp_path / "missing") == []


def test_a_mount_is_a_user_and_its_fix_ends_the_use(device: Path, mounted: Path) -> None:
    (user,) = users_of_device(device)
    assert (user.what, user.fix) == (f"mounted on {mounted}", f"umount {mounted}")


def test_a_mount_in_another_namespace_is_a_user(device: Path, mounted: Path) -> None:
    other_place = mounted / "other"
    script = f"umount {mounted}; mkdir {other_place}; mount {device} {other_place}; echo ready; read _"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"ready\n"
        own, inside, *rest = users_of_device(device)
        assert own.what == f"mounted on {mounted}"
        assert inside.what.startswith(f"mounted on {other_place} in the mount namespace of process ")
        assert inside.fix.startswith("nsenter --target ")
        assert rest == []
        other.stdin.close()


def test_a_process_with_the_device_open_is_a_user_unless_it_is_left_out(device: Path) -> None:
    with device.open("rb") as node, subprocess.Popen(["sleep", "600"], stdin=node) as holder:
        try:
            (user,) = users_of_device(device)
            assert user.what == f"in use by process {holder.pid} (sleep)"
            assert user.fix == f"end process {holder.pid}"
            assert users_of_device(device, besides=[holder.pid]) == []
        finally:
            holder.kill()


def test_a_loop_device_on_the_device_is_a_user(device: Path) -> None:
    above = loop.attach(device)
    try:
        (user,) = users_of_device(device)
        assert user.what == f"the file of {above.path}"
        assert user.fix == f"losetup --detach {above.path}"
    finally:
        loop.detach(above)


def test_a_working_directory_and_an_open_file_make_users_of_a_mount(mounted: Path) -> None:
    assert users_of_mount(mounted) == []
    (mounted / "file").touch()
    with (mounted / "file").open() as file:
        holders = [
            subprocess.Popen(["sleep", "600"], cwd=mounted),
            subprocess.Popen(["sleep", "600"], stdin=file),
        ]
    try:
        users = {user.what for user in users_of_mount(mounted)}
        assert users == {f"in use by process {each.pid} (sleep)" for each in holders}
    finally:
        for each in holders:
            each.kill()
            each.wait()
