"""Golden texts have the commonest errors of both programs: each names the thing, the reason and the fix."""

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from fuse_backing import mounts, runtime
from fuse_backing.cli import cli
from tests.cli.command_lines import Thinsim
from tests.cli.golden_texts import GOLDEN, assert_golden
from thinsim.cli import run_scenario
from thinsim.dm.standing import choose
from thinsim.machine.findings import Finding
from thinsim.machine.sockets import RUNTIME_VARIABLE
from thinsim.machine.state import STATE_VARIABLE
from thinsim.pools import lifecycle
from thinsim.pools.records import PoolRecord, PoolRecords
from thinsim.rig.emulated import EMULATED
from thinsim.rig.shape import PoolShape

CONFIG = 'pool_name = "demo"\nroot_path = "ROOT"\nbase_image_size = "1GB"\n'
FILES = {
    "unknown-key.toml": 'title = "t"\ntitel = "t"\n[[phase]]\nname = "p"\nsteps = [{ do = "cleanup" }]\n',
    "bad-value.toml": 'title = "t"\nrig = 5\n[[phase]]\nname = "p"\nsteps = [{ do = "cleanup" }]\n',
    "text.json": "no JSON",
    "other.json": '{"kind": "something else"}',
    "config.toml": CONFIG,
    "plan.toml": "no TOML",
}


class PoolInUse:
    """A `PoolInUse` is a device-mapper with a pool whose thin device is active."""

    major, minor = 253, 0

    async def list(self) -> list[str]:
        return ["demo", "demo-snap-1"]

    async def info(self, name: str) -> "PoolInUse":
        return self

    async def table(self, name: str) -> str:
        return "0 2097152 thin 253:0 1" if name == "demo-snap-1" else "0 4194304 thin-pool 7:1 7:0 128 0"

    def path(self, name: str) -> Path:
        return Path("nowhere", name)


Prepare = Callable[[pytest.MonkeyPatch], None]


def as_it_is(patch: pytest.MonkeyPatch) -> None:
    """Leave the machine as it is."""


def with_findings(*findings: Finding) -> Prepare:
    return lambda patch: patch.setattr(run_scenario, "probe_rigs", lambda directory: list(findings))


def not_root(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "geteuid", lambda: 1000)


def as_root(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "geteuid", lambda: 0)


def no_device_mapper(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(choose, "kernel_has_device_mapper", lambda: False)


def pool_demo(patch: pytest.MonkeyPatch) -> None:
    PoolRecords().add(PoolRecord(PoolShape("demo"), Path.cwd() / "pool", EMULATED.name))
    patch.setattr(lifecycle, "choose_lasting_rig", lambda *arguments, **options: EMULATED)
    patch.setattr(lifecycle, "device_mapper", lambda rig: PoolInUse())


def no_store(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mounts, "mounts", list)
    patch.setattr(runtime, "sockets", list)


@dataclass(frozen=True)
class Mistake:
    """A `Mistake` is a command line that fails on a machine that *prepare* has prepared."""

    words: str
    prepare: Prepare = as_it_is


ROOT = Finding("root", False, "effective user id 1000", "run with sudo", ("emulated", "kernel"))
DM = Finding("kernel device-mapper", False, "this kernel has none", "use --rig emulated", ("kernel",))

MISTAKES = {
    "unknown-command": Mistake("thinsim scenario"),
    "unknown-option": Mistake("thinsim run churn --rigg process"),
    "unknown-scenario": Mistake("thinsim run contaner-exit"),
    "unknown-scenario-with-no-name-near": Mistake("thinsim run moon"),
    "unknown-rig": Mistake("thinsim run churn --rig moon"),
    "unknown-variant": Mistake("thinsim run churn --rig process --variant moon", with_findings()),
    "unknown-setting": Mistake("thinsim reproduce --rig process --setting off-async"),
    "unknown-contender": Mistake("thinsim bench --contender moon/core/on"),
    "rig-without-root": Mistake("thinsim run churn --rig emulated", with_findings(ROOT)),
    "rig-without-device-mapper": Mistake("thinsim run churn --rig kernel", with_findings(DM)),
    "no-rig-at-all": Mistake(
        "thinsim run churn --rig auto",
        with_findings(Finding("disk", False, "no holes", "use --dir", ("kernel", "emulated", "process"))),
    ),
    "serve-without-root": Mistake("thinsim snapshotter serve --config config.toml", not_root),
    "no-device-mapper": Mistake("thinsim snapshotter repair --config config.toml", no_device_mapper),
    "keep-in-a-guest": Mistake("thinsim run churn --rig vm --keep", with_findings()),
    "options-that-exclude-each-other": Mistake("thinsim reproduce --rig process --image text.json"),
    "option-that-needs-another": Mistake("thinsim reproduce --rig process --sysconfig config.toml"),
    "scenario-file-that-is-missing": Mistake("thinsim run nowhere.toml"),
    "scenario-file-with-an-unknown-key": Mistake("thinsim run unknown-key.toml"),
    "scenario-file-with-a-bad-value": Mistake("thinsim scenarios check bad-value.toml"),
    "file-that-exists": Mistake("thinsim scenarios new config.toml"),
    "bad-size": Mistake("thinsim pool create demo --dir pool --data-size 1.5"),
    "size-without-a-unit": Mistake("thinsim pool create demo --dir pool --block-size 64"),
    "pool-that-does-not-exist": Mistake("thinsim pool status demo", as_root),
    "pool-that-exists": Mistake("thinsim pool create demo --dir pool", pool_demo),
    "pool-in-use": Mistake("thinsim pool remove demo", pool_demo),
    "pool-that-does-not-run": Mistake("thinsim watch demo", as_root),
    "pool-of-another-user": Mistake("thinsim pool status demo", not_root),
    "no-emulated-device-mapper": Mistake("thinsim dm status", as_root),
    "device-mapper-without-root": Mistake("thinsim dm start", not_root),
    "baseline-that-is-missing": Mistake("thinsim ci --baseline nowhere.json"),
    "baseline-of-another-kind": Mistake("thinsim ci --baseline other.json"),
    "report-that-is-no-json": Mistake("thinsim report text.json"),
    "benchmark-that-is-no-json": Mistake("thinsim compare text.json text.json"),
    "output-directory-that-is-missing": Mistake("thinsim run churn --json nowhere/report.json"),
    "store-unknown-command": Mistake("fuse-backing mont"),
    "store-that-is-not-mounted": Mistake("fuse-backing stats .", no_store),
    "no-store-at-all": Mistake("fuse-backing stats", no_store),
    "unmount-of-nothing": Mistake("fuse-backing unmount .", no_store),
    "fault-plan-that-is-no-toml": Mistake("fuse-backing faults set . plan.toml"),
    "mountpoint-that-is-missing": Mistake("fuse-backing mount --foreground files nowhere"),
    "mountpoint-in-use": Mistake("fuse-backing mount --foreground files /proc"),
    "mountpoint-in-the-directory": Mistake("fuse-backing mount --foreground files files/below"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with FILES the current one, which also holds the state."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("ROOT", str(tmp_path)))
    (tmp_path / "files/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path / "run"))
    return tmp_path


def as_text(place: Path, words: str, status: int, stderr: str) -> str:
    text = stderr.replace(str(place), "DIRECTORY").rstrip("\n")
    return f"$ {words}\n{text}\n[exit status {status}]\n"


def store_process(words: str) -> subprocess.CompletedProcess[str]:
    """Run fuse-backing in a process of its own, as a server changes its process."""
    command = [sys.executable, "-m", "fuse_backing", *shlex.split(words)[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_common_error_is_golden(
    name: str, thinsim: Thinsim, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = MISTAKES[name]
    program, *words = shlex.split(mistake.words)
    mistake.prepare(monkeypatch)
    if program == "thinsim":
        done = thinsim(*words)
        status, text = done.returncode, done.stderr or done.stdout
    elif words[0] == "mount":
        server = store_process(mistake.words)
        status, text = server.returncode, server.stderr
    else:
        result = CliRunner().invoke(cli, words, prog_name=program)
        status, text = result.exit_code, result.stderr
    assert status in (1, 2)
    assert_golden(GOLDEN / "errors" / f"{name}.txt", as_text(place, mistake.words, status, text))


def test_a_store_that_is_served_already_is_golden(place: Path) -> None:
    (place / "mnt").mkdir()
    words = "fuse-backing mount --foreground files mnt"
    lock = os.open(place / "files", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = store_process(words)
    finally:
        os.close(lock)
    text = as_text(place, words, done.returncode, done.stderr)
    assert_golden(GOLDEN / "errors" / "store-that-is-served.txt", text)


@pytest.mark.rig
def test_an_image_that_cannot_be_read_is_golden(thinsim: Thinsim, place: Path) -> None:
    words = "thinsim reproduce --rig emulated --image text.json --dir ."
    done = thinsim(*shlex.split(words)[1:])
    (message,) = (line for line in done.stderr.splitlines() if line.startswith("thinsim: "))
    text = as_text(place, words, done.returncode, message)
    assert_golden(GOLDEN / "errors" / "image-that-cannot-be-read.txt", text)


def test_each_golden_error_belongs_to_a_mistake() -> None:
    others = {"store-that-is-served", "image-that-cannot-be-read"}
    assert {path.stem for path in (GOLDEN / "errors").iterdir()} == {*MISTAKES, *others}


def test_no_golden_error_has_a_traceback_or_names_this_machine() -> None:
    for path in (GOLDEN / "errors").iterdir():
        text = path.read_text()
        assert "Traceback" not in text
        assert "/tmp/" not in text
