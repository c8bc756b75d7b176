"""The machine's dmsetup runs on the emulated device-mapper: texts, exit statuses, a daemon when needed."""

import mmap
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.dm.drop_in_machine import BLOCKS, SECTORS, DropInMachine
from thinsim.dm.standing.start import answers

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        shutil.which("dmsetup") is None, reason="dmsetup is not installed (apt-get install dmsetup)"
    ),
]


def test_a_pool_and_a_thin_device_live_as_containerd_has_them(machine: DropInMachine) -> None:
    machine.make_pool()
    pool, thin = machine.pool, f"{machine.prefix}-thin"
    status = machine.dmsetup("status", pool)
    pattern = rf"0 {SECTORS} thin-pool 0 \d+/1024 0/{BLOCKS} - rw discard_passdown queue_if_no_space - 256 \n"
    assert re.fullmatch(pattern, status)
    machine.dmsetup("message", pool, "0", "create_thin 1")
    machine.dmsetup("create", thin, "--table", f"0 4096 thin /dev/mapper/{pool} 1")
    columns = "name,blkdevname,attr,major,minor,open,segments,events"
    shown = machine.dmsetup("info", "--columns", "--noheadings", "-o", columns, "--separator", " ", thin)
    assert re.fullmatch(rf"{thin} loop\d+ L--w 7 \d+ 0 1 0\n", shown)
    device = Path(f"/dev/mapper/{thin}")
    device.write_bytes(b"c" * 65536 * 3)
    subprocess.run(["sync", str(device)], check=True)
    assert machine.dmsetup("status", thin) == f"0 4096 thin {3 * 128} {3 * 128 - 1}\n"
    assert f"Major, minor:      {os.major(device.stat().st_rdev)}, " in machine.dmsetup("info", thin)
    machine.dmsetup("suspend", thin)
    machine.dmsetup("message", pool, "0", "create_snap 2 1")
    machine.dmsetup("resume", thin)
    assert f"1 dependencies\t: (7, {machine_minor(machine, pool)})\n" in machine.dmsetup("deps", thin)
    assert f"{thin} (7:" in machine.dmsetup("ls", "--tree")
    machine.dmsetup("remove", "--retry", f"/dev/mapper/{thin}")
    assert machine.dmsetup("ls") == f"{pool}\t(7:{machine_minor(machine, pool)})\n"


def machine_minor(machine: DropInMachine, name: str) -> int:
    return int(machine.dmsetup("info", "-c", "--noheadings", "-o", "minor", name))


def test_refusals_have_dmsetups_words_and_status(machine: DropInMachine) -> None:
    machine.make_pool()
    machine.dmsetup("message", machine.pool, "0", "create_thin 1")
    for words, complaint in {
        ("message", machine.pool, "0", "create_thin 1"): "File exists",
        ("message", machine.pool, "0", "delete 9"): "No data available",
        ("message", machine.pool, "0", "what"): "Invalid argument",
        ("create", machine.pool, "--table", "0 8 zero"): "Device or resource busy",
        ("remove", f"{machine.prefix}-none"): "No such device or address",
        ("create", f"{machine.prefix}-new", "--table", "0 8 nonsense"): "Invalid argument",
        ("create", f"{machine.prefix}-new", "--table", "0 8 thin /dev/mapper/nothing 1"): "No such device",
    }.items():
        printed = machine.refused(*words)
        assert printed.splitlines()[0].endswith(f" failed: {complaint}"), printed
        assert printed.splitlines()[-1] == "Command failed."
    assert machine.refused("status", f"{machine.prefix}-none") == "Device does not exist.\nCommand failed.\n"
    assert machine.dmsetup("ls").count("\n") == 1


def test_tables_come_from_stdin_and_devices_go_by_uuid_number_and_new_names(machine: DropInMachine) -> None:
    name, renamed = f"{machine.prefix}-a", f"{machine.prefix}-b"
    machine.dmsetup("create", name, "-u", "SOME-UUID", stdin="0 8 zero\n8 8 error\n")
    assert machine.dmsetup("table", "-u", "SOME-UUID") == "0 8 zero \n8 8 error \n"
    minor = str(machine_minor(machine, name))
    assert machine.dmsetup("info", "-j", "7", "-m", minor).startswith(f"Name:              {name}\n")
    machine.dmsetup("rename", name, renamed)
    assert Path(f"/dev/mapper/{renamed}").exists()
    assert not os.path.lexists(f"/dev/mapper/{name}")
    machine.dmsetup("load", renamed, "--table", "0 64 zero")
    assert "LIVE & INACTIVE" in machine.dmsetup("info", renamed)
    machine.dmsetup("clear", renamed)
    machine.dmsetup("suspend", renamed)
    assert "State:             SUSPENDED" in machine.dmsetup("info", renamed)
    machine.dmsetup("reload", renamed, "--table", "0 64 zero")
    machine.dmsetup("resume", renamed)
    assert machine.dmsetup("table", renamed) == "0 64 zero \n"
    machine.dmsetup("wipe_table", renamed)
    assert machine.dmsetup("table", renamed) == "0 64 error \n"
    machine.dmsetup("mknodes", renamed)
    machine.dmsetup("remove", renamed)


def test_mknodes_leaves_the_links_of_other_device_mappers_alone(
    machine: DropInMachine, tmp_path: Path
) -> None:
    machine.dmsetup("version")
    link = Path(f"/dev/mapper/{machine.prefix}-other")
    link.symlink_to(machine.data)
    try:
        machine.dmsetup("mknodes")
        assert link.is_symlink()
    finally:
        link.unlink()


def test_sixteen_first_callers_start_one_daemon(machine: DropInMachine) -> None:
    assert not answers(machine.places)
    with ThreadPoolExecutor(16) as callers:
        texts = list(callers.map(lambda _: machine.dmsetup("version"), range(16)))
    assert len(set(texts)) == 1
    assert len(machine.daemons()) == 1


def test_one_of_64_creators_of_the_same_thin_device_succeeds(machine: DropInMachine) -> None:
    machine.make_pool()
    words = ("dmsetup", "message", machine.pool, "0", "create_thin 7")
    running = [
        subprocess.Popen(words, env=machine.environment, stderr=subprocess.PIPE, text=True) for _ in range(64)
    ]
    complaints = [client.communicate(timeout=60)[1] for client in running]
    assert sorted(client.returncode for client in running) == [0] + [1] * 63
    refusal = f"device-mapper: message ioctl on {machine.pool}  failed: File exists\nCommand failed.\n"
    assert sorted(complaints) == [""] + [refusal] * 63


@pytest.mark.alone  # a mount namespace keeps the mounts of other tests in use
def test_where_the_kernel_has_a_device_mapper_the_drop_in_refuses_by_default(
    machine: DropInMachine, tmp_path: Path
) -> None:
    devices = tmp_path / "misc"
    devices.write_text(f"{Path('/proc/misc').read_text()}236 device-mapper\n")
    script = 'mount --bind "$0" /proc/misc && exec "$@"'

    def there(*words: str) -> subprocess.CompletedProcess[str]:
        return machine.run("unshare", "--mount", "sh", "-c", script, str(devices), *words)

    refused = there("dmsetup", "version")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("thinsim: this kernel has a device-mapper: use its own dmsetup, /")
    emulated = ["pool", "create", machine.pool, "--dir", str(tmp_path / "pool"), "--rig", "emulated"]
    for words in (["env"], emulated):
        done = there(sys.executable, "-m", "thinsim", *words)
        assert done.returncode == 1
        assert "--beside-kernel" in done.stderr
    assert not (tmp_path / "pool").exists()
    assert machine.daemons() == []
    beside = there(sys.executable, "-m", "thinsim", "env", "--beside-kernel", "--", "dmsetup", "version")
    assert (beside.returncode, beside.stderr) == (0, "")
    assert "Driver version:" in beside.stdout
    assert len(machine.daemons()) == 1


@pytest.mark.alone  # a mount namespace keeps the mounts of other tests in use
def test_nothing_waits_for_udev_which_does_not_see_these_devices(machine: DropInMachine) -> None:
    place = Path("/run/udev")
    made = not place.exists()
    place.mkdir(exist_ok=True)
    script = 'mount -t tmpfs tmpfs /run/udev && : >/run/udev/control && exec "$@"'
    try:
        for words in (
            ["create", f"{machine.prefix}-z", "--table", "0 8 zero"],
            ["remove", f"{machine.prefix}-z"],
        ):
            done = machine.run("unshare", "--mount", "sh", "-c", script, "sh", "dmsetup", *words)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finally:
        if made:
            place.rmdir()


def _wait_for_an_answer(pid: int) -> None:
    """Return once the process has only waited for a socket for a while."""
    in_a_row = 0
    while in_a_row < 20:
        in_a_row = in_a_row + 1 if Path(f"/proc/{pid}/wchan").read_text().startswith("unix_stream") else 0
        time.sleep(0.01)


def test_a_client_of_a_killed_daemon_gets_an_error_and_a_retry_works(machine: DropInMachine) -> None:
    machine.make_pool()
    device = machine.make_thin("thin", 1, 4096)
    waiting = subprocess.Popen(
        ["dmsetup", "wait", machine.pool], env=machine.environment, stderr=subprocess.PIPE, text=True
    )
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        _wait_for_an_answer(waiting.pid)
        (daemon,) = machine.daemons()
        daemon.kill()
        daemon.wait()
        complaint = waiting.communicate(timeout=60)[1]
        assert waiting.returncode == 1
        assert complaint.endswith(" failed: Input/output error\nCommand failed.\n")
        with mmap.mmap(-1, 4096) as buffer, pytest.raises(OSError, match="Input/output error"):
            os.preadv(fd, [buffer], 0)
    finally:
        os.close(fd)
    assert machine.dmsetup("status", device.name) == "0 4096 thin 0 -\n"
    machine.dmsetup("message", machine.pool, "0", "create_thin 2")
    assert len(machine.daemons()) == 1


def test_the_daemon_after_a_killed_one_has_its_devices(machine: DropInMachine) -> None:
    machine.make_pool()
    thin = f"{machine.prefix}-thin"
    machine.dmsetup("message", machine.pool, "0", "create_thin 1")
    machine.dmsetup("create", thin, "-u", "THIN", "--table", f"0 4096 thin /dev/mapper/{machine.pool} 1")
    content = os.urandom(65536 * 5)
    with Path(f"/dev/mapper/{thin}").open("wb") as device:
        device.write(content)
        device.flush()
        os.fsync(device.fileno())
    tables = machine.dmsetup("table", machine.pool), machine.dmsetup("status", thin)
    (daemon,) = machine.daemons()
    daemon.kill()
    daemon.wait()
    assert (machine.dmsetup("table", machine.pool), machine.dmsetup("status", thin)) == tables
    assert len(machine.daemons()) == 1
    with Path(f"/dev/mapper/{thin}").open("rb") as device:
        assert device.read(len(content)) == content
    assert "UUID: THIN" in machine.dmsetup("info", thin)


def test_many_clients_at_once_lose_nothing(machine: DropInMachine) -> None:
    long = bool(os.environ.get("THINSIM_LONG_CAMPAIGN"))
    clients, seconds = (64, 600) if long else (12, 6)
    machine.make_pool()
    script = Path(__file__).with_name("dmsetup_client.py")
    running = [
        subprocess.Popen(
            [sys.executable, str(script), machine.pool, str(number * 100), str(number), str(seconds)],
            env=machine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(clients)
    ]
    failures, operations = [], 0
    for client in running:
        out, complaint = client.communicate(timeout=seconds + 120)
        if client.returncode != 0:
            failures.append(complaint)
        else:
            operations += int(out)
    assert not failures, "\n".join(failures)
    assert operations > clients
    print(f"{clients} clients, {seconds} s: {operations} operations")
    assert machine.dmsetup("ls").split()[0] == machine.pool
    assert f" 0/{BLOCKS} " in machine.dmsetup("status", machine.pool)
    machine.dmsetup("remove", machine.pool)
    subprocess.run(["thin_check", machine.metadata], check=True, capture_output=True)
