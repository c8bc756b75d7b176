"""`Config` loads the same settings from a file as containerd, and refuses the same files."""

import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.snapshotter.containerd_configs import KEYS, LOADED, OTHER, PLUGIN, REFUSED, TABLE, Loaded
from thinsim.cli.main import status_of
from thinsim.snapshotter import daemon_config
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import InvalidConfigError

CONTAINERD = shutil.which("containerd")
_DMSETUP = """#!/bin/sh
echo "$@" >> "$DMSETUP_LOG"
case $1 in
    version) echo "Library version:   1.02.185 (2022-05-18)"; echo "Driver version:    4.48.0" ;;
    info) echo "pool dm-0 L--w 253 0 0 1 0" ;;
esac
"""


def installed() -> str | None:
    """Return the release of the installed containerd, if it is one of the recorded releases."""
    if CONTAINERD is None or os.geteuid():
        return None
    text = subprocess.run([CONTAINERD, "--version"], capture_output=True, text=True, check=True).stdout
    return next((release for release in ("1.6", "2.1") if f" {release}." in text), None)


INSTALLED = installed()
containerd_is_missing = pytest.mark.skipif(
    INSTALLED is None, reason="needs containerd 1.6 or 2.1: apt-get install containerd"
)


def needs_containerd(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.root("starts containerd")(containerd_is_missing(test))


def started(file: Path, here: Path, case: Loaded) -> tuple[list[str], list[str]]:
    """Start containerd with *file*; return the paths of pool databases and the tables of created devices."""
    assert CONTAINERD is not None
    programs = here / "programs"
    programs.mkdir()
    (programs / "dmsetup").write_text(_DMSETUP)
    (programs / "dmsetup").chmod(0o755)
    log, socket, calls = here / "containerd.log", here / "containerd.sock", here / "calls"
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "DMSETUP_LOG": str(calls)}
    arguments = ["--address", str(socket), "--log-level", "debug", "--config", str(file)]
    if not case.own_root:
        arguments += ["--root", f"{here}/root"]
    arguments += [] if "state" in case.text else ["--state", f"{here}/state"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [CONTAINERD, *arguments], stdout=out, stderr=out, env=environment, cwd=here
        )
    try:
        for _ in range(600):
            if process.poll() is not None or b"successfully booted" in log.read_bytes():
                break
            time.sleep(0.05)
        if process.poll() is None:
            prepare = ["ctr", "-a", str(socket), "snapshots", "--snapshotter", "devmapper", "prepare", "k"]
            subprocess.run(prepare, env=environment, capture_output=True, check=False, timeout=60)
    finally:
        process.kill()
        process.wait()
    databases = [str(path) for path in here.rglob("*.db") if path.name not in ("metadata.db", "meta.db")]
    called = calls.read_text() if calls.exists() else ""
    return databases, re.findall(r"--table (.*)", called)


@pytest.fixture(autouse=True)
def in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", LOADED)
def test_a_file_that_containerd_loads_has_the_same_settings_here(name: str, tmp_path: Path) -> None:
    case = LOADED[name]
    config = Config.load(case.write(tmp_path))
    root = case.root.replace("{here}/root", daemon_config.DEFAULT_ROOT).replace("{here}", str(tmp_path))
    assert (config.root_path, config.pool_name) == (Path(root), case.pool)
    assert config.base_image_bytes == case.sectors * 512
    usual = {"async_remove": False, "discard_blocks": False, "fs_type": "ext4", "fs_options": ""}
    assert {key: getattr(config, key) for key in usual} == usual | case.settings
    config.validate()


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_containerd_refuses_is_refused_with_file_key_and_fix(name: str, tmp_path: Path) -> None:
    case, problem = REFUSED[name]
    file = case.write(tmp_path)
    with pytest.raises(InvalidConfigError, match=problem) as caught:
        Config.load(file)
    assert str(tmp_path) in str(caught.value)


@needs_containerd
@pytest.mark.parametrize("name", LOADED)
def test_the_installed_containerd_does_the_same(name: str, tmp_path: Path) -> None:
    case = LOADED[name]
    databases, tables = started(case.write(tmp_path), tmp_path, case)
    if INSTALLED not in case.by:
        assert f"0 {case.sectors} thin /dev/mapper/{case.pool} 1" not in tables or case.settings
        return
    root = tmp_path / case.root.replace("{here}", str(tmp_path))
    assert databases == [f"{root}/{case.pool}.db"]
    assert tables == [f"0 {case.sectors} thin /dev/mapper/{case.pool} 1"]


@needs_containerd
@pytest.mark.parametrize("name", REFUSED)
def test_the_installed_containerd_starts_no_snapshotter_with_a_refused_file(
    name: str, tmp_path: Path
) -> None:
    case, _ = REFUSED[name]
    assert started(case.write(tmp_path), tmp_path, case)[1] == []


def test_tables_of_several_files_are_joined_as_by_the_installed_containerd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'version = 2\nimports = ["b.toml"]\n{TABLE}{KEYS}discard_blocks = true\n'
    file = Loaded(text, {"b.toml": OTHER}).write(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert Config.load(file).discard_blocks
    for version, discards in (("v1.7.24", False), ("1.6.20~ds1", False), ("v2.1.9", True)):
        (programs / "containerd").write_text(f"#!/bin/sh\necho containerd github.com/c/c {version} 1\n")
        (programs / "containerd").chmod(0o755)
        assert Config.load(file).discard_blocks is discards, version


def test_only_a_comment_may_have_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(f"# gr\xfc\xdfe\nversion = 2\n{TABLE}{KEYS}".encode("latin-1"))
    assert Config.load(file).pool_name == "p"
    file.write_bytes(f'version = 2\n{TABLE}{KEYS}fs_options = "\xfc"\n'.encode("latin-1"))
    with pytest.raises(InvalidConfigError, match="line 5 is not UTF-8 text"):
        Config.load(file)


def test_a_disabled_plugin_is_loaded_here(tmp_path: Path) -> None:
    text = f'version = 2\ndisabled_plugins = ["{PLUGIN}"]\n{TABLE}{KEYS}'
    assert Config.load(Loaded(text).write(tmp_path)).pool_name == "p"


def test_a_key_that_containerd_ignores_causes_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = Loaded(f"version = 2\n{TABLE}{KEYS}discard_block = true\n").write(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert not Config.load(file).discard_blocks
    assert caplog.messages == [f"{file}: ignoring unknown key 'discard_block'; did you mean discard_blocks?"]


def test_containerds_file_may_have_keys_of_thinsim(tmp_path: Path) -> None:
    config = Config.load(Loaded(f'{TABLE}{KEYS}profile = "fixed"\nbusy_timeout = 3\n').write(tmp_path))
    assert (config.discard_committed, config.busy_timeout) == (True, 3)


@pytest.mark.parametrize("text", ["0", "100", "1.5", "9000P", "inf ", "NaN "])
def test_a_size_that_no_device_can_have_is_refused_before_a_snapshot_fails(text: str, tmp_path: Path) -> None:
    file = Loaded(f'{TABLE}pool_name = "p"\nbase_image_size = "{text}"\n').write(tmp_path)
    with pytest.raises(InvalidConfigError, match="base_image_size"):
        Config.load(file)


def test_a_command_names_the_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Loaded(f"version = 2\n[plugins.devmapper]\n{KEYS}").write(tmp_path)
    for command in ("repair", "serve"):
        assert status_of(["snapshotter", command, "--config", str(file)]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"thinsim: {file}: no table")
