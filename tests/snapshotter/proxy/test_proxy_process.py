"""``thinsim snapshotter serve`` is run as a program on a real pool: readiness, end, crash, every refusal."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fuse_backing.mounts import mounts
from tests.runtime_place import runtime_place
from tests.snapshotter.proxy.snapshots_client import SnapshotsClient
from thinsim.snapshotter.interface import Kind

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 missing (apt-get install e2fsprogs)"
    ),
]


@dataclass
class ServedPool:
    """A `ServedPool` is a pool on a permanent device-mapper that only these tests use."""

    environment: dict[str, str]
    runtime: Path
    state: Path
    pool: str

    def thinsim(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "thinsim", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.environment,
        )

    def journals(self) -> set[str]:
        return {path.name for path in (self.state / "runs").glob("*.jsonl")}


@dataclass
class RunningServe:
    """A `RunningServe` is a running ``serve`` command; *ready* is its readiness line."""

    process: subprocess.Popen[str]
    ready: dict[str, object]
    socket: Path

    def end(self, number: signal.Signals) -> str:
        """Send a signal, wait for the end and return the log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=30)
        return log


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPool]:
    state, files = tmp_path_factory.mktemp("serve-state"), tmp_path_factory.mktemp("serve-pool")
    with runtime_place(state, files) as runtime:
        yield from _served(runtime, state, files / "files")


def _served(runtime: Path, state: Path, pool: Path) -> Iterator[ServedPool]:
    environment = {**os.environ, "THINSIM_RUNTIME_DIR": str(runtime), "THINSIM_STATE_DIR": str(state)}
    made = ServedPool(environment, runtime, state, f"{runtime.name}-pool")
    sizes = ("--data-size", "512M", "--metadata-size", "16M")
    created = made.thinsim("pool", "create", made.pool, "--dir", pool, *sizes)
    try:
        assert created.returncode == 0, created.stderr
        yield made
    finally:
        # A failed test may have left active devices, which would keep the pool busy.
        made.thinsim("env", "--", "dmsetup", "remove_all", "--force")
        removed = made.thinsim("pool", "remove", made.pool)
        stopped = made.thinsim("dm", "stop", "--force")
    assert removed.returncode == 0, removed.stderr
    assert stopped.returncode == 0, stopped.stderr
    left = [entry.name for entry in Path("/dev/mapper").iterdir() if entry.name.startswith(runtime.name)]
    assert left == []


def config(served: ServedPool, root: Path, **more: str) -> Path:
    keys = {"pool_name": served.pool, "root_path": str(root), "base_image_size": "64MB", **more}
    file = root.parent / f"{root.name}.toml"
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value)
    file.write_text(f'version = 2\n[plugins."io.containerd.snapshotter.v1.devmapper"]\n{lines}')
    return file


@contextmanager
def serving(served: ServedPool, root: Path, **environment: str) -> Iterator[RunningServe]:
    read_end, write_end = os.pipe()
    words = ("snapshotter", "serve", "--config", str(config(served, root)), "--ready-fd", str(write_end))
    process = subprocess.Popen(
        [sys.executable, "-m", "thinsim", *words],
        pass_fds=[write_end],
        stderr=subprocess.PIPE,
        text=True,
        env={**served.environment, **environment},
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as ready:
            line = ready.readline()
        assert line, process.communicate(timeout=30)[1]
        yield RunningServe(process, json.loads(line), served.runtime / "snapshotter.sock")
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_leaves_snapshots_but_nothing_else(
    served: ServedPool, tmp_path: Path, number: signal.Signals
) -> None:
    root, journals = tmp_path / "root", served.journals()
    with serving(served, root) as server:
        assert server.ready == {"pid": server.process.pid, "socket": str(server.socket)}
        assert server.socket.stat().st_mode & 0o777 == 0o600
        with SnapshotsClient(server.socket) as client:
            (mount,) = client.prepare("a")
            assert (mount.type, Path(mount.source).is_block_device()) == ("ext4", True)
            used = client.usage("a").size
            assert used > 0
            client.commit("base", "a")
            client.prepare("b", "base")
        log = server.end(number)
        assert server.process.returncode == 0, log
    assert f"received {number.name}, stopping" in log
    assert "a: created (thin id " in log
    assert "Traceback" not in log
    assert not server.socket.exists()
    assert served.journals() == journals
    assert [mount for mount in mounts() if mount.mountpoint.is_relative_to(root)] == []
    with serving(served, root) as server, SnapshotsClient(server.socket) as client:
        assert [(info.name, info.kind) for info in client.walk()] == [
            ("b", Kind.ACTIVE),
            ("base", Kind.COMMITTED),
        ]
        assert client.usage("base").size == used
        client.remove("b")
        client.remove("base")
        assert client.walk() == []
        assert not Path(mount.source).exists()


def test_after_a_kill_the_next_one_takes_over_socket_and_snapshots(
    served: ServedPool, tmp_path: Path
) -> None:
    root, journals = tmp_path / "root", served.journals()
    with serving(served, root) as server:
        with SnapshotsClient(server.socket) as client:
            client.prepare("a")
        server.end(signal.SIGKILL)
    assert server.socket.is_socket()
    with serving(served, root) as server:
        with SnapshotsClient(server.socket) as client:
            assert [info.name for info in client.walk()] == ["a"]
            client.remove("a")
        server.end(signal.SIGTERM)
        assert server.process.returncode == 0
    assert served.journals() == journals


def test_repair_removes_the_leftovers_of_a_crash(served: ServedPool, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with serving(served, root) as server:
        with SnapshotsClient(server.socket) as client:
            client.prepare("a")
            client.commit("base", "a")
        refused = served.thinsim("snapshotter", "repair", "--config", config(served, root))
        assert (refused.returncode, "in use by another snapshotter" in refused.stderr) == (1, True)
        server.end(signal.SIGTERM)
    # The store is lost; the pool and the device records still have the device.
    used = used_blocks(served)
    assert used > 0
    (root / "metadata.db").unlink()
    file = config(served, root)
    done = served.thinsim("snapshotter", "repair", "--config", file, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [finding["remedy"] for finding in report["repaired"]] == ["removed"]
    assert report["left"] == []
    assert report["reclaimed"] == used * (64 << 10)
    assert used_blocks(served) == 0
    again = served.thinsim("snapshotter", "repair", "--config", file)
    assert (again.returncode, again.stdout) == (0, "0 repaired, 0 left, 0 B freed in the pool\n")


def used_blocks(served: ServedPool) -> int:
    status = served.thinsim("env", "--", "dmsetup", "status", served.pool)
    return int(status.stdout.split()[5].partition("/")[0])


def test_a_signal_lets_the_running_call_end(served: ServedPool, tmp_path: Path) -> None:
    programs, begun = tmp_path / "bin", tmp_path / "begun"
    programs.mkdir()
    slow = programs / "mkfs.ext4"
    slow.write_text(f'#!/bin/sh\ntouch {begun}\nsleep 1\nexec {shutil.which("mkfs.ext4")} "$@"\n')
    slow.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    with (
        serving(served, tmp_path / "root", PATH=path) as server,
        ThreadPoolExecutor(1) as thread,
        SnapshotsClient(server.socket) as client,
    ):
        call = thread.submit(client.prepare, "a")
        while not begun.exists():
            assert not call.done(), call.result()
        server.end(signal.SIGTERM)
        (mount,) = call.result()
    assert server.process.returncode == 0
    with serving(served, tmp_path / "root") as server, SnapshotsClient(server.socket) as client:
        assert client.mounts("a") == [mount]
        client.remove("a")


def test_a_second_one_on_the_same_root_or_the_same_socket_is_refused(
    served: ServedPool, tmp_path: Path
) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    with serving(served, root) as server:
        for its_root, socket, complaint in (
            (root, tmp_path / "s", f"{root} is in use by another snapshotter"),
            (other, server.socket, f"{server.socket}: another server answers on this socket"),
        ):
            file = config(served, its_root)
            done = served.thinsim("snapshotter", "serve", "--config", file, "--socket", socket)
            assert (done.returncode, complaint in done.stderr) == (1, True), done.stderr
            assert "Traceback" not in done.stderr
        with SnapshotsClient(server.socket) as client:
            assert client.walk() == []


def test_a_mistake_is_one_line_that_names_it(served: ServedPool, tmp_path: Path) -> None:
    for number, (more, complaint) in enumerate(
        (
            ({"pool_name": ""}, "pool_name is required"),
            ({"base_image_size": "much"}, "base_image_size: invalid size: 'much'"),
            ({"pool_name": "no-such-pool"}, "thin pool 'no-such-pool' does not exist; create it with"),
        )
    ):
        done = served.thinsim(
            "snapshotter", "serve", "--config", config(served, tmp_path / str(number), **more)
        )
        assert (done.returncode, complaint in done.stderr) == (1, True), done.stderr
        assert len(done.stderr.splitlines()) == 1
    file = config(served, tmp_path / "root")
    for words, status, complaint in (
        (("--config", tmp_path / "missing"), 2, "does not exist"),
        (("--config", file, "--socket", tmp_path / "missing/s"), 1, "missing is not a directory"),
        (("--config", file, "--socket", tmp_path / ("s" * 100)), 1, "too long for a unix socket"),
        (("--config", file, "--device-mapper", tmp_path / "missing"), 2, "does not exist"),
    ):
        done = served.thinsim("snapshotter", "serve", *words)
        assert (done.returncode, complaint in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "repair"])
def test_no_device_mapper_is_started_in_vain(served: ServedPool, tmp_path: Path, command: str) -> None:
    with runtime_place(tmp_path) as runtime:
        environment = {
            **served.environment,
            "THINSIM_RUNTIME_DIR": str(runtime),
            "THINSIM_STATE_DIR": str(tmp_path / "state"),
        }
        elsewhere = replace(served, environment=environment, runtime=runtime, state=tmp_path / "state")
        done = elsewhere.thinsim("snapshotter", command, "--config", config(served, tmp_path / "root"))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"thinsim: thin pool {served.pool!r} does not exist: no device-mapper")
        assert list(runtime.rglob("*")) == []


def test_without_grpc_it_names_the_package_to_install(served: ServedPool, tmp_path: Path) -> None:
    program = "import sys; sys.modules['grpc'] = None; from thinsim.cli.main import main; main()"
    words = ("snapshotter", "serve", "--config", str(config(served, tmp_path / "root")))
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        env=served.environment,
    )
    assert done.returncode == 1
    assert done.stderr == "thinsim: snapshotter serve needs the package grpc: pip install 'thinsim[grpc]'\n"
