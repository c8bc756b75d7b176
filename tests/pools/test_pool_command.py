"""The commands pool, env and dm work on a pool that outlives them, and refuse bad input."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_file_systems import host_file_system, missing_for
from tests.runtime_place import runtime_place
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.thin.metadata.space_map_metadata import least_metadata
from thinsim.units import DataBlocks

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(shutil.which("dmsetup") is None, reason="dmsetup missing (apt-get install dmsetup)"),
]


IN_KERNEL = kernel_has_device_mapper()
on_emulated = pytest.mark.skipif(IN_KERNEL, reason="this kernel has a device-mapper: the drop-in refuses")
on_kernel = pytest.mark.skipif(
    not IN_KERNEL,
    reason="this kernel has no device-mapper (thinsim vm run -- .venv/bin/python -m pytest "
    "--basetemp=/run/thinsim-scratch/tests tests/pools/test_pool_command.py)",
)


class Shell:
    """A `Shell` runs thinsim with directories of this test's own."""

    def __init__(self, environment: dict[str, str], seconds: int) -> None:
        self._environment = environment
        self._seconds = seconds

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "thinsim", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=self._seconds,
            env=self._environment,
        )

    def done(self, *words: str | Path) -> str:
        done = self(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


@pytest.fixture
def thinsim(tmp_path: Path) -> Iterator[Shell]:
    with runtime_place(tmp_path) as runtime:
        shell = Shell(
            {
                **os.environ,
                "THINSIM_RUNTIME_DIR": str(runtime),
                "THINSIM_STATE_DIR": str(tmp_path / "state"),
                "DM_DISABLE_UDEV": "1",
            },
            seconds=600 if IN_KERNEL else 60,  # a guest may be emulated
        )
        yield shell
        for entry in json.loads(shell.done("pool", "list", "--json")):
            shell("pool", "remove", entry["name"])
        shell.done("dm", "stop", "--force")


def name(tmp_path: Path) -> str:
    return f"test-{os.getpid()}-{abs(hash(tmp_path)) % 10**6}"


@pytest.mark.parametrize(
    ("rig", "in_shell"),
    [
        pytest.param("emulated", ("env",), marks=on_emulated),
        pytest.param("kernel", None, marks=on_kernel),
    ],
)
def test_a_pool_stays_is_seen_by_dmsetup_grows_and_goes(
    thinsim: Shell, tmp_path: Path, rig: str, in_shell: tuple[str, ...] | None
) -> None:
    def seen(*words: str) -> str:
        if in_shell is not None:
            return thinsim.done(*in_shell, *words)
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=600).stdout

    pool, directory = name(tmp_path), tmp_path / "pool"
    sizes = ("--data-size", "1G", "--metadata-size", "16M")
    stanza = thinsim.done("pool", "create", pool, "--dir", directory, *sizes, "--rig", rig)
    assert f'pool_name = "{pool}"' in stanza
    assert "discard_blocks = true" in stanza
    assert seen("dmsetup", "status", pool).startswith(f"0 {1 << 21} thin-pool 0 ")
    (listed,) = json.loads(thinsim.done("pool", "list", "--json"))
    assert (listed["name"], listed["rig"], listed["state"]) == (pool, rig, "running")
    seen("dmsetup", "message", pool, "0", "create_thin 1")
    seen("dmsetup", "create", f"{pool}-thin", "--table", f"0 65536 thin /dev/mapper/{pool} 1")
    Path(f"/dev/mapper/{pool}-thin").write_bytes(b"x" * (1 << 20))
    subprocess.run(["sync", f"/dev/mapper/{pool}-thin"], check=True)
    (facts,) = json.loads(thinsim.done("pool", "status", pool, "--json"))
    assert (facts["state"], facts["used"], facts["host"]) == ("running", 1 << 20, 1 << 20)
    thinsim.done("pool", "grow", pool, "--data-size", "2G", "--metadata-size", "32M")
    grown = seen("dmsetup", "status", pool).split()
    assert (grown[1], grown[4].split("/")[1]) == (str(1 << 22), str(32 << 20 >> 12))
    shrunk = thinsim("pool", "grow", pool, "--data-size", "1G")
    assert (shrunk.returncode, "can't shrink" in shrunk.stderr) == (1, True)
    busy = thinsim("pool", "remove", pool)
    assert busy.returncode == 1
    remove = "dmsetup remove" if in_shell is None else "thinsim env dmsetup remove"
    assert busy.stderr == (
        f"thinsim: pool {pool} is in use, so nothing was removed:\n"
        f"  {pool}-thin: active thin device, not open (fix: {remove} {pool}-thin)\n"
    )
    if rig == "emulated":
        assert thinsim("dm", "stop").returncode == 1
    seen("blkdiscard", f"/dev/mapper/{pool}-thin")
    (facts,) = json.loads(thinsim.done("pool", "status", pool, "--json"))
    assert (facts["used"], facts["host"], facts["given_back"]) == (0, 0, 1 << 20)
    seen("dmsetup", "remove", f"{pool}-thin")
    thinsim.done("pool", "remove", pool)
    assert not directory.exists()
    assert json.loads(thinsim.done("pool", "list", "--json")) == []
    assert not Path("/dev/mapper", pool).exists()


@pytest.mark.skipif(IN_KERNEL, reason="this kernel has a device-mapper")
def test_without_a_device_mapper_the_kernels_pool_is_refused_with_what_to_do(
    thinsim: Shell, tmp_path: Path
) -> None:
    refused = thinsim("pool", "create", name(tmp_path), "--dir", tmp_path / "pool", "--rig", "kernel")
    assert refused.returncode == 1
    assert refused.stderr.startswith("thinsim: rig 'kernel' can't run here:")
    assert "--rig emulated" in refused.stderr
    assert not (tmp_path / "pool").exists()
    assert json.loads(thinsim.done("pool", "list", "--json")) == []


@on_kernel
def test_beside_the_kernels_device_mapper_the_emulated_one_needs_an_option(
    thinsim: Shell, tmp_path: Path
) -> None:
    refused = thinsim("pool", "create", name(tmp_path), "--dir", tmp_path / "pool", "--rig", "emulated")
    assert refused.returncode == 1
    assert "--beside-kernel" in refused.stderr
    assert not (tmp_path / "pool").exists()


def test_what_can_not_be_a_pool_is_refused_and_leaves_nothing(thinsim: Shell, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    pool = name(tmp_path)
    for words, complaint in {
        ("create", "a/b", "--dir", tmp_path / "new"): "pool name 'a/b'",
        ("create", pool, "--dir", tmp_path / "full"): "is not empty",
        ("create", pool, "--dir", tmp_path / "new", "--data-size", "8000P"): (
            "a metadata device of 10 GiB is too small: an empty pool of 137438953472000 data blocks takes "
        ),
        ("create", pool, "--dir", tmp_path / "new", "--metadata-size", "8K"): (
            "a metadata device of 8 KiB is too small: an empty pool of 1638400 data blocks takes "
            "448 KiB; the kernel's guide, 48 bytes per data block and at least 2 MiB, is 75 MiB"
        ),
        ("status", pool): f"pool {pool!r} does not exist",
        ("remove", pool): f"pool {pool!r} does not exist",
        ("grow", pool, "--data-size", "1G"): f"pool {pool!r} does not exist",
    }.items():
        done = thinsim("pool", *words)
        assert done.returncode == 1, words
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
    assert json.loads(thinsim.done("pool", "list", "--json")) == []
    assert thinsim.done("pool", "list") == "There are no pools. To create one, run: thinsim pool create\n"


def test_a_pool_larger_than_a_file_of_the_host_is_refused_and_leaves_nothing(
    thinsim: Shell, tmp_path: Path
) -> None:
    missing = missing_for("ext4")
    if missing is not None:
        pytest.skip(missing)
    with host_file_system("ext4", tmp_path) as host:  # a file on ext4 has less than 16 TiB
        new = host.directory / "new"
        done = thinsim("pool", "create", name(tmp_path), "--dir", new, "--data-size", "20T")
        assert done.returncode == 1
        assert "data of the pool: the file system of" in done.stderr
        assert "has no files as large as 20 TiB" in done.stderr
        assert not new.exists()
        assert json.loads(thinsim.done("pool", "list", "--json")) == []


def test_a_pool_does_not_grow_beyond_its_metadata(thinsim: Shell, tmp_path: Path) -> None:
    pool, directory = name(tmp_path), tmp_path / "pool"
    thinsim.done("pool", "create", pool, "--dir", directory, "--data-size", "1G", "--metadata-size", "2M")
    refused = thinsim("pool", "grow", pool, "--data-size", "8000P")
    assert refused.returncode == 1
    assert "a metadata device of 2 MiB is too small" in refused.stderr
    (listed,) = json.loads(thinsim.done("pool", "list", "--json"))
    assert (listed["state"], (directory / "store/data").stat().st_size) == ("running", 1 << 30)
    thinsim.done("pool", "remove", pool)


@on_emulated
def test_the_device_mapper_that_was_started_for_a_pool_in_vain_is_ended(
    thinsim: Shell, tmp_path: Path
) -> None:
    # The least size for 1 TiB of data is a few blocks more than the one that thinsim refuses by itself.
    least = least_metadata(DataBlocks(1 << 24))
    sizes = ("--data-size", "1T", "--metadata-size", f"{least >> 10}K")
    create = ("pool", "create", name(tmp_path), "--dir", tmp_path / "new", *sizes)
    thinsim.done("dm", "stop")
    refused = thinsim(*create)
    assert refused.returncode == 1
    assert "is too small: an empty pool of 16777216 data blocks takes more than" in refused.stderr
    assert thinsim("dm", "status").stdout.startswith("The emulated device-mapper is not running.")
    thinsim.done("dm", "start")
    assert thinsim(*create).returncode == 1
    assert thinsim.done("dm", "status").startswith("running, 0 devices")


@on_emulated
@pytest.mark.parametrize("plane", ["on", "off"])
def test_the_data_plane_of_each_pool_is_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, plane: str
) -> None:
    monkeypatch.setenv("THINSIM_PLANE", plane)
    thinsim: Shell = request.getfixturevalue("thinsim")
    pool = name(tmp_path)
    thinsim.done("pool", "create", pool, "--dir", tmp_path / "new")
    environment = thinsim.done("env", "--", "dmsetup", "create", f"{pool}-zeros", "--table", "0 8 zero")
    assert environment == ""
    state = json.loads(thinsim.done("dm", "status", "--json"))
    assert state["devices"] == [pool, f"{pool}-zeros"]
    (found,) = state["data_planes"].values()
    assert list(state["data_planes"]) == [pool]
    assert (found == "Python serves every request: THINSIM_PLANE=off") is (plane == "off")
    lines = thinsim.done("dm", "status").splitlines()
    assert lines[1:] == [f"{pool}, data plane: {found}", f"{pool}-zeros"]
    thinsim.done("env", "--", "dmsetup", "remove", f"{pool}-zeros")
    thinsim.done("pool", "remove", pool)


@on_emulated
def test_an_environment_is_printed_for_a_shell_and_given_to_a_command(thinsim: Shell) -> None:
    assert thinsim.done("env").startswith("export PATH=")
    assert "Driver version:" in thinsim.done("env", "--", "dmsetup", "version")
    missing = thinsim("env", "no-such-command")
    assert (missing.returncode, "no such program" in missing.stderr) == (1, True)
    assert thinsim("dm", "status").returncode == 0
    thinsim.done("dm", "stop")
    assert thinsim("dm", "status").returncode == 1
    thinsim.done("dm", "stop")


@on_emulated
def test_the_removal_of_a_pool_in_use_names_each_user_and_removes_nothing(
    thinsim: Shell, tmp_path: Path
) -> None:
    pool, mountpoint = name(tmp_path), tmp_path / "mounted"
    thinsim.done(
        "pool", "create", pool, "--dir", tmp_path / "pool", "--data-size", "1G", "--metadata-size", "16M"
    )

    def refusal() -> list[str]:
        refused = thinsim("pool", "remove", pool)
        first, *lines = refused.stderr.splitlines()
        assert first == f"thinsim: pool {pool} is in use, so nothing was removed:"
        assert refused.returncode == 1
        (listed,) = json.loads(thinsim.done("pool", "list", "--json"))
        assert listed["state"] == "running"
        return lines

    mounted, held = f"{pool}-snap-1", f"elsewhere-{pool}"
    for number, device in enumerate((mounted, held), 1):
        thinsim.done("env", "dmsetup", "message", pool, "0", f"create_thin {number}")
        table = f"0 65536 thin /dev/mapper/{pool} {number}"
        thinsim.done("env", "dmsetup", "create", device, "--table", table)
    subprocess.run(["mkfs.ext4", "-q", f"/dev/mapper/{mounted}"], check=True)
    mountpoint.mkdir()
    subprocess.run(["mount", f"/dev/mapper/{mounted}", mountpoint], check=True)
    try:
        with Path("/dev/mapper", held).open("rb") as node:
            holder = subprocess.Popen(["sleep", "600"], stdin=node)
        try:
            assert refusal() == [
                f"  {held}: active thin device, in use by process {holder.pid} (sleep) "
                f"(fix: end process {holder.pid}; thinsim env dmsetup remove {held})",
                f"  {mounted}: active thin device, mounted on {mountpoint} "
                f"(fix: umount {mountpoint}; thinsim env dmsetup remove {mounted})",
            ]
        finally:
            holder.kill()
            holder.wait()
    finally:
        subprocess.run(["umount", mountpoint], check=True)
    for device in (mounted, held):
        thinsim.done("env", "dmsetup", "remove", "--retry", device)
    inside = subprocess.Popen(["sleep", "600"], cwd=tmp_path / "pool" / "store")
    try:
        assert refusal() == [
            f"  {tmp_path}/pool/store (backing store), in use by process {inside.pid} (sleep) "
            f"(fix: end process {inside.pid})"
        ]
    finally:
        inside.kill()
        inside.wait()
    thinsim.done("pool", "remove", pool)
    assert json.loads(thinsim.done("pool", "list", "--json")) == []
