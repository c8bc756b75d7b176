"""``make bench-thin`` measures thin devices beside their peers, in a short form."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import thin, thin_growth
from benchmarks.backing_rows import MIB, TurnSizes
from benchmarks.early_end import EndedEarlyError, check, heeding_signals, run
from benchmarks.thin_contenders import (
    BARE,
    BY_PYTHON,
    CONTENDERS,
    NO_FILE,
    OVER_URING,
    PLAIN,
    THIN,
    ProvisionedDevice,
)
from benchmarks.thin_device import BLOCK_BYTES
from benchmarks.thin_pool import ServedThinPool, thin_pool
from benchmarks.thin_rows import BREAK, BREAK_SMALL, PROVISION, RANDOM_READ_ALONE, steps
from fuse_backing.fuse_uring import IO_URING
from fuse_backing.mounts import mount_on
from tests.fuse_transports import missing_for
from tests.repository import REPOSITORY
from thinsim.block import loop
from thinsim.cli.statuses import DONE, INTERRUPTED

NEEDS_FIO = pytest.mark.skipif(
    shutil.which("fio") is None, reason="fio is not installed (apt-get install fio)"
)
QUICK = ("--quick", "--idle", "--rounds", "1")


@pytest.mark.rig
@pytest.mark.long
@NEEDS_FIO
def test_each_contender_has_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = [*QUICK, "--python-alone", "--only", "thin device", "--row", "depth 1"]
    done = CliRunner().invoke(thin.main, [*words, "--dir", str(tmp_path), "--json", str(figures)])
    assert done.exit_code == DONE, done.output
    measured = json.loads(figures.read_text())["measured"]
    rounds = {each["contender"]: each["rounds"] for each in measured if each["row"] == RANDOM_READ_ALONE.name}
    offered = {OVER_URING} if missing_for(IO_URING.name) is None else set()
    assert set(rounds) == {PLAIN, THIN, NO_FILE, BY_PYTHON} | offered
    assert all(min(each) > 0 for each in rounds.values())


@pytest.mark.rig
@pytest.mark.long
@NEEDS_FIO
def test_an_interrupt_keeps_complete_rows_and_leaves_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = [*QUICK, "--only", "thin device", "--dir", str(tmp_path), "--json", str(figures)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.thin", *words], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "rewrite" in line:  # the first row is complete
                process.send_signal(signal.SIGINT)
                break
        process.stderr.read()
    assert process.returncode == INTERRUPTED
    document = json.loads(figures.read_text())
    assert "signal" in document["cut_short"]
    rounds = {(each["row"], each["contender"]): each["rounds"] for each in document["measured"]}
    assert all(len(rounds[PROVISION.name, contender]) > 0 for contender in (PLAIN, THIN, NO_FILE))
    assert list(tmp_path.iterdir()) == [figures]
    assert not [device for device, file in loop.attached_devices().items() if str(tmp_path) in file]


@pytest.mark.rig
@NEEDS_FIO
@pytest.mark.parametrize("row", [BREAK, BREAK_SMALL], ids=lambda row: row.name)
def test_a_row_of_broken_sharing_breaks_each_block_once(tmp_path: Path, row: object) -> None:
    sizes = TurnSizes(2 * MIB, 4 * MIB, 0.1)
    blocks = sizes.sequential // BLOCK_BYTES
    (step,) = (step for step in steps(sizes) if step.row is row)
    with thin_pool(tmp_path, sizes.device) as pool:
        (path,) = pool.devices
        device = ProvisionedDevice(path, lambda: pool.ask("snapshot"), lambda: pool.ask("forget"))
        step.prepare(device, 0)
        used, written = _used(pool), _written(path)
        step.work(device, 0)
        assert _used(pool) - used == blocks
        expected = blocks * 4096 if row is BREAK_SMALL else sizes.sequential
        assert _written(path) - written == expected
        step.after(device, 0)
        assert _used(pool) == used
        assert pool.ask("check") == []


@pytest.mark.rig
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed (apt-get install gcc)")
@pytest.mark.extents
def test_the_bare_server_shows_its_file_and_passes_discards_down(tmp_path: Path) -> None:
    (contender,) = (each for each in CONTENDERS if each.name == BARE)
    data, file = os.urandom(8 * MIB), tmp_path / "files" / "disk"
    with contender.device(tmp_path, len(data)) as device:
        subprocess.run(["dd", f"of={device.path}", "bs=1M", "oflag=direct"], input=data, check=True)
        assert file.read_bytes() == data
        subprocess.run(["blkdiscard", "-o", "65536", "-l", str(MIB), str(device.path)], check=True)
        read = subprocess.run(
            ["dd", f"if={device.path}", "bs=1M", "iflag=direct"], stdout=subprocess.PIPE, check=True
        )
        assert read.stdout == data[:65536] + bytes(MIB) + data[65536 + MIB :]
        assert file.stat().st_blocks * 512 == len(data) - MIB
    assert mount_on(tmp_path / "served") is None


@pytest.mark.rig
@pytest.mark.skipif(shutil.which("thin_restore") is None, reason="thin_restore is not installed")
def test_a_pool_is_opened_with_as_many_mapped_blocks_as_asked_for(tmp_path: Path) -> None:
    mapped = 5000
    with thin_pool(tmp_path, mapped * BLOCK_BYTES, "--mapped", str(mapped)) as pool:
        assert _used(pool) == mapped
        with pool.devices[0].open("r+b", buffering=0) as device:
            device.seek((mapped - 1) * BLOCK_BYTES)
            device.write(bytes([7]) * BLOCK_BYTES)
        assert _used(pool) == mapped
        assert pool.ask("check") == []
    # Each block has the data block of its number.
    with (tmp_path / "rig/host/data").open("rb") as data:
        data.seek((mapped - 1) * BLOCK_BYTES)
        assert data.read(BLOCK_BYTES) == bytes([7]) * BLOCK_BYTES


@pytest.mark.rig
@pytest.mark.long
@NEEDS_FIO
def test_growth_has_a_row_per_step(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["--quick", "--devices", "2", "--mapped", "1000", "--json", str(figures), "--dir", str(tmp_path)]
    done = CliRunner().invoke(thin_growth.main, words)
    assert done.exit_code == DONE, done.output
    document = json.loads(figures.read_text())
    ((devices,), (mapped,)) = document["devices"], document["mapped"]
    assert devices["devices"] == 2
    assert mapped["mapped_blocks"] == 1000
    assert min(*devices.values(), *mapped.values()) > 0


def test_a_signal_ends_the_program_that_runs(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ended = tmp_path / "ended"
    program = f"import os, time; os.kill({os.getpid()}, 15); time.sleep(20); open({str(ended)!r}, 'w')"
    with heeding_signals():
        check()
        with pytest.raises(EndedEarlyError):
            run([sys.executable, "-c", program])
        assert not ended.exists()
        with pytest.raises(EndedEarlyError):
            run(["true"])
    assert signal.getsignal(signal.SIGTERM) is before
    with heeding_signals():
        assert run(["cat"], "text").stdout == "text"


def _used(pool: ServedThinPool) -> int:
    """Return the used data blocks of the pool (Documentation/admin-guide/device-mapper/thin-provisioning)."""
    return int(pool.ask("status").split()[5].partition("/")[0])


def _written(device: Path) -> int:
    """Return the written bytes (Documentation/block/stat.rst)."""
    return int(Path("/sys/block", device.name, "stat").read_text().split()[6]) * 512
