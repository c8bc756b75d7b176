"""`tried` has containerd commit a snapshot whose file system is frozen, and counts the tries to suspend it.

A commit suspends the device, and a suspend freezes the file system, which is frozen already: EBUSY. The file
system thaws after a while. The device-mapper is the emulated one.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinsim.scenario.containerd.builds import ContainerdBuild, find_build
from thinsim.scenario.containerd.config_file import containerd_config, quoted
from thinsim.snapshotter.daemon_config import PLUGIN

_POOL = "frozen"
_THAW = 2.0
"""Seconds until the file system thaws."""
_PATIENCE = 30.0

_DMSETUP = """#!/bin/sh
if [ "$1" = suspend ]; then
    text=$({dmsetup} "$@" 2>&1)
    status=$?
    echo "$status $text" | head -n 1 >> {log}
    printf '%s\\n' "$text"
    exit $status
fi
exec {dmsetup} "$@"
"""
"""A dmsetup that keeps the status and the first line of each suspend."""
_STANZA = """[plugins."{plugin}"]
pool_name = "{pool}"
root_path = {root}
base_image_size = "64MB"
discard_blocks = true
"""


def tried(directory: Path) -> Mapping[str, Any]:
    """Return what the build in *directory* did: its version, each try with its answer, and the error."""
    build = find_build(directory)
    with tempfile.TemporaryDirectory(prefix="thinsim-busy-") as name:
        work = Path(name)
        environment, log = _environment(work, build)
        with _pool(work, environment), _containerd(work, environment, build) as ctr:
            return {"version": build.version, "revision": build.revision, **_tried(work, log, ctr)}


def _environment(work: Path, build: ContainerdBuild) -> tuple[Mapping[str, str], Path]:
    """Return an environment with the recording dmsetup first in PATH, and the file where it records."""
    for each in ("runtime", "state", "bin", "pool", "mount"):
        (work / each).mkdir()
    places = {"THINSIM_RUNTIME_DIR": str(work / "runtime"), "THINSIM_STATE_DIR": str(work / "state")}
    environment = {**os.environ, **places}
    real = _run(environment, sys.executable, "-m", "thinsim", "env", "sh", "-c", "command -v dmsetup").strip()
    log = work / "suspends"
    recorder = work / "bin/dmsetup"
    recorder.write_text(_DMSETUP.format(dmsetup=shlex.quote(real), log=shlex.quote(str(log))))
    recorder.chmod(0o755)
    path = f"{work / 'bin'}:{os.environ['PATH']}"
    return {**environment, "PATH": build.path({"PATH": path})}, log


@contextmanager
def _pool(work: Path, environment: Mapping[str, str]) -> Iterator[None]:
    thinsim = (sys.executable, "-m", "thinsim")
    sizes = ("--data-size", "512M", "--metadata-size", "16M")
    where = ("--dir", str(work / "pool"), "--rig", "emulated")
    _run(environment, *thinsim, "pool", "create", _POOL, *where, *sizes)
    try:
        yield
    finally:
        env = (*thinsim, "env", "dmsetup")
        for device in re.findall(rf"^{_POOL}-snap-\d+", _run(environment, *env, "ls"), re.MULTILINE):
            _run(environment, *env, "remove", device)
        _run(environment, *thinsim, "pool", "remove", _POOL)
        _run(environment, *thinsim, "dm", "stop")


@contextmanager
def _containerd(work: Path, environment: Mapping[str, str], build: ContainerdBuild) -> Iterator["_Ctr"]:
    stanza = _STANZA.format(plugin=PLUGIN, pool=_POOL, root=quoted(work / "snapshots"))
    config = work / "config.toml"
    config.write_text(containerd_config(build, work / "containerd", work, "devmapper", stanza))
    with (work / "log").open("wb") as output:
        command = [build.program("containerd"), "--config", str(config)]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    ctr = _Ctr(work, environment, build)
    try:
        ctr.wait_for(process)
        yield ctr
    finally:
        process.terminate()
        process.wait(_PATIENCE)


class _Ctr:
    """A `_Ctr` runs ``ctr snapshots`` for the devmapper plugin."""

    def __init__(self, work: Path, environment: Mapping[str, str], build: ContainerdBuild) -> None:
        self._environment = environment
        address = str(work / "containerd.sock")
        words = ("--address", address, "snapshots", "--snapshotter", "devmapper")
        self._command = (build.program("ctr"), *words)

    def __call__(self, *words: str) -> str:
        return _run(self._environment, *self._command, *words)

    def wait_for(self, process: subprocess.Popen[bytes]) -> None:
        """Return as soon as the plugin answers. CalledProcessError if it never does."""
        end = time.monotonic() + _PATIENCE
        while process.poll() is None:
            try:
                self("list")
            except subprocess.CalledProcessError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return
        raise subprocess.CalledProcessError(process.returncode, process.args)


def _tried(work: Path, log: Path, ctr: _Ctr) -> Mapping[str, Any]:
    mount = str(work / "mount")
    (device,) = re.findall(r"/dev/mapper/\S+-snap-\d+", ctr("prepare", "--mounts", "layer"))
    _run(os.environ, "mount", device, mount)
    try:
        _run(os.environ, "fsfreeze", "--freeze", mount)
        thaw = threading.Timer(_THAW, _run, (os.environ, "fsfreeze", "--unfreeze", mount))
        thaw.start()
        try:
            ctr("commit", "base", "layer")
            outcome = ""
        except subprocess.CalledProcessError as error:
            outcome = str(error.stderr).strip()
        finally:
            thaw.join()
    finally:
        _run(os.environ, "umount", mount)
    return {"error": outcome, "suspends": log.read_text().splitlines()}


def _run(environment: Mapping[str, str], *command: str) -> str:
    return subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=True, timeout=120
    ).stdout


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(tried(Path(each)))
