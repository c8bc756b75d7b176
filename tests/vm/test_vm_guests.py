"""Guests boot, run one command on the kernel's own dm-thin, and end, even when they are interrupted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.command_lines import interrupted
from thinsim.cli.statuses import INTERRUPTED
from thinsim.rig.registry import probe_rigs
from thinsim.rig.vm import VM
from thinsim.vm.probe import probe_guest

LACKS = [f"{each.name}: {each.detail} (fix: {each.fix})" for each in probe_guest() if not each.present]
pytestmark = [pytest.mark.rig]
needs_guest = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS) or "nothing")


@pytest.fixture(autouse=True)
def _no_guest_is_left() -> Iterator[None]:
    before = guests()
    yield
    assert guests() - before == set()


def guests() -> set[int]:
    return {
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if any("thinsim-scratch" in word for word in process.info["cmdline"] or [])
    }


def thinsim(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thinsim", "vm", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_probe_names_each_lack_with_its_fix() -> None:
    done = thinsim("probe", "--json") if LACKS else None
    findings = json.loads(done.stdout) if done else [vars_of(each) for each in probe_rigs(Path("/tmp"), [VM])]
    assert {"qemu", "virtme-ng", "guest kernel"} <= {each["name"] for each in findings}
    assert all(each["fix"] for each in findings if not each["present"] and each["needed_by"])
    assert done is None or done.returncode == 1


def vars_of(finding: object) -> dict[str, object]:
    return {name: getattr(finding, name) for name in ("name", "present", "fix", "needed_by")}


@pytest.mark.skipif(not LACKS, reason="nothing is missing here, so nothing can be refused")
def test_a_guest_that_lacks_something_is_refused_with_the_fix() -> None:
    done = thinsim("run", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("thinsim: no guest can run here: ")
    assert "make setup-vm" in done.stderr or "apt-get install" in done.stderr


@needs_guest
def test_a_guest_has_the_kernels_thin_pool_and_brings_back_output_files_and_status(tmp_path: Path) -> None:
    work = (
        "cd /run/thinsim-scratch && truncate -s 64M data && truncate -s 4M metadata && "
        "d=$(losetup -f --show data) && m=$(losetup -f --show metadata) && "
        'dmsetup create pool --table "0 131072 thin-pool $m $d 128 0" && '
        f"dmsetup status pool && uname -r > {tmp_path}/release && echo on stderr >&2; exit 9"
    )
    done = thinsim("run", "--share", str(tmp_path), "--", "bash", "-c", work)
    assert done.returncode == 9, done.stderr
    assert done.stdout.startswith("0 131072 thin-pool 0 ")
    assert "on stderr" in done.stderr
    assert (tmp_path / "release").read_text().strip()


@needs_guest
def test_a_guest_that_hangs_is_killed(tmp_path: Path) -> None:
    done = thinsim("run", "--timeout", "8", "--", "sleep", "1000")
    assert done.returncode == 1
    assert "did not finish within 8 s; the guest was killed" in done.stderr


@needs_guest
def test_an_interrupted_run_in_a_guest_keeps_the_variants_that_ended(tmp_path: Path) -> None:
    saved, work = tmp_path / "report.json", tmp_path / "work"
    work.mkdir()
    words = ("run", "image-removal", "--rig", "vm", "--dir", work, "--json", saved)
    done = interrupted(*words, at="[2/2]")
    assert done.returncode == INTERRUPTED, done.stderr
    document = json.loads(saved.read_text())
    assert document["rig"] == "vm"
    assert document["cut_short"] == "a signal interrupted the command"
    assert [run["cut_short"] is None for run in document["runs"]] == [True, False]
    assert "Cut short in" in done.stdout
    assert list(work.iterdir()) == []


@needs_guest
def test_a_share_that_is_no_directory_is_a_wrong_command_line(tmp_path: Path) -> None:
    done = thinsim("run", "--share", str(tmp_path / "none"), "--", "true")
    assert done.returncode == 2
