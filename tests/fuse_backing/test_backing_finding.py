"""A command finds the store that it names, or explains why there is none."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, names_in, run_command
from tests.repository import REPOSITORY

NOBODY = 65534
served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)


def refused(*arguments: object, status: int = 1) -> str:
    """Return the message of a command that fails."""
    result = run_command(*arguments, check=False)
    assert (result.returncode, result.stdout) == (status, ""), result
    assert "Traceback" not in result.stderr
    assert " b'" not in result.stderr
    return result.stderr.removeprefix("Error: ").strip()


def punch(store: Store, name: str) -> None:
    store.file(name).write_bytes(b"x" * 8192)
    with store.file(name).open("r+b") as file:
        assert host_fallocate(file.fileno(), 3, 0, 4096) == 0


def asking(store: Store) -> list[tuple[object, ...]]:
    """Return the commands that ask the store on a mountpoint, without the mountpoint."""
    plan = store.control.with_name("plan.toml")
    plan.write_text('[[fault]]\noperation = "punch"\naction = "lie"\n')
    looking = ("stats", "latency", "events", "histogram", "metrics", "reset")
    return [*((each,) for each in looking), ("faults", "show"), ("faults", "clear"), ("faults", "set")]


def with_mountpoint(store: Store, words: tuple[object, ...], mountpoint: Path) -> tuple[object, ...]:
    more = (store.control.with_name("plan.toml"),) if words[-1] == "set" else ()
    return (*words, mountpoint, *more)


@pytest.mark.rig
@served_by_server
def test_a_file_that_a_store_does_not_have_is_an_error_with_the_nearest_name(store: Store) -> None:
    control = ("--control", store.control)
    assert refused("histogram", "--file", "disk", *control) == (
        f"{store.mountpoint}: the store has no file 'disk'; there are none"
    )
    punch(store, "disk")
    store.file("unpunched").touch()
    near = f"{store.mountpoint}: the store has no file 'dsk'; did you mean 'disk'?"
    for more in ((), ("--json",)):
        assert refused("histogram", "--file", "dsk", *more, *control) == near
        assert refused("map", store.file("dsk"), *more, *control) == near
    assert refused("histogram", "--file", "qqq", *control).endswith("; there are: 'disk', 'unpunched'")
    assert refused("histogram", "--file", "\udcff", *control).startswith(
        f"{store.mountpoint}: the store has no file '\\udcff'"
    )
    for name in (store.file("disk"), "a//b", "a/.."):
        complaint = (
            f"{str(name)!r} cannot be a file of a store: name its path in the store, such as images/a.img"
        )
        assert refused("histogram", "--file", name, *control) == complaint
    assert run_command("histogram", "--file", "unpunched", *control).stdout == (
        "no hole punch, zero range or truncation of file unpunched has succeeded yet\n"
    )


@pytest.mark.rig
@served_by_server
def test_a_fault_of_a_file_that_the_store_does_not_have_is_noted(store: Store, tmp_path: Path) -> None:
    store.file("disk").touch()
    plan = tmp_path / "plan.toml"
    for pattern, note in {"dsk": " 'dsk' yet; did you mean 'disk'?", "d*": ""}.items():
        plan.write_text(f'[[fault]]\noperation = "punch"\nfile = "{pattern}"\naction = "lie"\n')
        done = run_command("faults", "set", store.mountpoint, plan, "--control", store.control)
        assert done.stdout == f"{store.mountpoint}: faults in force: 1\n"
        noted = f"{store.mountpoint}: no file of the store matches{note}\n" if note else ""
        assert done.stderr == noted


@pytest.mark.rig
@served_by_server
def test_a_removed_file_has_its_history(store: Store) -> None:
    control = ("--control", store.control)
    punch(store, "disk")
    store.file("disk").unlink()
    assert [event.file for event in store.releases(1)] == ["disk"]
    drawn = run_command("histogram", "--file", "disk", *control).stdout.splitlines()
    assert drawn[0] == "file disk is no longer in the store; the ledger has its events"
    assert drawn[1].startswith("freed bytes by offset")
    show = f"fuse-backing histogram {store.mountpoint} --file disk"
    assert refused("map", store.file("disk"), *control) == (
        f"{store.mountpoint}: the store no longer has the file 'disk'; to see its 2 events, run: {show}"
    )


@pytest.mark.rig
@served_by_server
def test_a_path_beside_the_mountpoint_is_explained(store: Store, tmp_path: Path) -> None:
    punch(store, "disk")
    for words in asking(store):
        inside = refused(*with_mountpoint(store, words, store.file("disk")))
        assert inside == (
            f"{store.file('disk')}: this path is inside the store on {store.mountpoint}; name that mountpoint"
        )
        served = refused(*with_mountpoint(store, words, store.directory))
        assert served == (
            f"{store.directory}: this is the directory of the store on {store.mountpoint}; "
            "name that mountpoint"
        )
        plain = refused(*with_mountpoint(store, words, tmp_path))
        assert plain.startswith(
            f"{tmp_path}: no fuse-backing store is mounted there. Stores are mounted on: "
        )
    assert refused("map", store.mountpoint) == (
        f"{store.mountpoint}: this is the mountpoint of a store; name a file on it"
    )


@pytest.mark.rig
@served_by_server
def test_a_store_at_another_socket_is_explained(store: Store) -> None:
    text = refused("stats", store.mountpoint)
    assert text.startswith(f"{store.mountpoint}: its server does not answer on /run/fuse-backing/")
    assert text.endswith("; if it was mounted with --control, name that socket")
    assert run_command("stats", "--control", store.control).stdout.startswith("file")


@pytest.fixture
def usual_store(tmp_path: Path, data_served_by: str) -> Callable[[], Store]:
    """Return a function that mounts a store with the usual control socket, in the background."""

    def mount() -> Store:
        base = tmp_path / "usual"
        for name in ("dir", "mnt"):
            (base / name).mkdir(parents=True)
        store = Store(base / "dir", base / "mnt", base / "control", base / "errors", "off")
        printed = run_command("mount", store.directory, store.mountpoint, "--passthrough", "off").stdout
        store.errors.write_text(printed.split("served by process ")[1].split(",")[0])
        return store

    return mount


@pytest.mark.rig
@served_by_server
@pytest.mark.usefixtures("leave_nothing_in_runtime_directory")
def test_a_store_whose_server_was_killed_is_explained(usual_store: Callable[[], Store]) -> None:
    store = usual_store()
    os.kill(int(store.errors.read_text()), 9)
    advice = f"the server of this mount has died; run: fuse-backing unmount {store.mountpoint}"
    for words in asking(store):
        end = refused(*with_mountpoint(store, words, store.mountpoint))
        assert end == f"{store.mountpoint}: {advice}"
    assert refused("map", store.file("disk")) == f"{store.mountpoint}: {advice}"
    assert run_command("unmount", store.mountpoint).stdout.endswith("the stale mount has been removed\n")
    ended = refused("stats", store.mountpoint)
    assert ended.startswith(f"{store.mountpoint}: no fuse-backing store is mounted there.")


AS_NOBODY = f"""
import os
from fuse_backing import display, latency_display, mapping, watching  # that user may be unable to read them
from fuse_backing.cli import main
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
main()
"""


@pytest.mark.rig
@served_by_server
def test_a_store_of_another_user_is_explained(store: Store) -> None:
    for words in (("stats", store.mountpoint), ("map", store.file("disk"))):
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            cwd=REPOSITORY,
        )
        assert (done.returncode, done.stdout) == (1, ""), done
        assert done.stderr == (
            f"Error: {store.mountpoint}: user root has mounted this store, and only that user can ask it\n"
        )


@pytest.mark.rig
@pytest.mark.alone
@served_by_server
def test_without_a_mountpoint_only_running_stores_count(
    usual_store: Callable[[], Store], store: Store
) -> None:
    mine = usual_store()
    try:
        punch(mine, "disk")
        assert "disk" in run_command("stats").stdout
        assert mounts.find_mount(mine.mountpoint) is not None
    finally:
        run_command("unmount", mine.mountpoint)
    assert names_in(mine.mountpoint) == []
    text = refused("stats", status=2)
    assert f"Name the mountpoint: {store.mountpoint}" in text
