"""The control sockets are in a private directory of the user, with or without XDG_RUNTIME_DIR."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fuse_backing import runtime
from fuse_backing.errors import FuseBackingError


@pytest.fixture
def base() -> Iterator[Path]:
    """Yield a directory whose path is short, since sockets are made in it."""
    with tempfile.TemporaryDirectory(prefix="fb-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def user(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remove what a session sets, and root's directory; return the directory for temporary files."""
    temporary = base / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(runtime, "ROOTS", base / "no-run" / "fuse-backing")
    monkeypatch.setattr(runtime, "USERS", base / "run-user")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return temporary


def private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True)
    return directory


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_root_has_a_directory_in_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert runtime.runtime_directory() == Path("/run/fuse-backing")


def test_a_session_has_a_directory_of_its_own(
    user: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = private(base / "session")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    assert runtime.make_runtime_directory() == session / "fuse-backing"


def test_without_the_variable_the_users_directory_in_run_serves(user: Path, base: Path) -> None:
    own = private(base / "run-user" / str(os.geteuid()))
    assert runtime.make_runtime_directory() == own / "fuse-backing"


def test_without_both_a_private_directory_is_made_among_the_temporary_files(user: Path) -> None:
    made = runtime.make_runtime_directory()
    assert made == user / f"fuse-backing-{os.geteuid()}"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert runtime.make_runtime_directory() == made


@pytest.mark.root("it gives a directory to another user")
def test_the_variable_of_another_user_is_ignored(
    user: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = private(base / "other")
    os.chown(other, 65534, 65534)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))  # su keeps it
    assert runtime.runtime_directory() == user / f"fuse-backing-{os.geteuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "nowhere"))
    assert runtime.runtime_directory() == user / f"fuse-backing-{os.geteuid()}"


def test_a_directory_that_others_can_use_is_refused_with_the_fix(user: Path, base: Path) -> None:
    place = user / f"fuse-backing-{os.geteuid()}"
    place.mkdir()
    place.chmod(0o755)
    fix = "must be a directory that this user owns, with mode 0700; .* set XDG_RUNTIME_DIR"
    with pytest.raises(FuseBackingError, match=fix):
        runtime.make_runtime_directory()
    place.rmdir()
    place.symlink_to(private(base / "elsewhere"))
    with pytest.raises(FuseBackingError, match=fix):
        runtime.make_runtime_directory()
    assert list((base / "elsewhere").iterdir()) == []
    assert runtime.sockets() == []


def test_a_process_with_another_environment_finds_the_same_socket(
    user: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountpoint = base / "mnt"
    session = private(base / "session")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    runtime.make_runtime_directory()
    served = runtime.control_socket(mountpoint)
    assert served.parent == session / "fuse-backing"
    with listening(served):
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert runtime.control_socket(mountpoint) == served
        assert runtime.control_socket(base / "other").parent == user / f"fuse-backing-{os.geteuid()}"
    assert runtime.control_socket(mountpoint).parent == user / f"fuse-backing-{os.geteuid()}"


def test_a_running_server_comes_before_the_socket_of_a_dead_one(
    user: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountpoint = base / "mnt"
    runtime.make_runtime_directory()
    running = runtime.control_socket(mountpoint)
    session = private(base / "session")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    dead = runtime.make_runtime_directory() / running.name
    with listening(dead):
        pass
    assert runtime.control_socket(mountpoint) == dead
    assert not runtime.is_answered(dead)
    with listening(running):
        assert runtime.control_socket(mountpoint) == running
        assert runtime.sockets() == sorted([dead, running])
