"""``thinsim metadata`` on damaged images: each damage by each command, with thin_dump as the oracle."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.thin.metadata_damages import (
    ANY_BLOCK,
    FIELDS,
    NO_NODES,
    NODES,
    Damage,
    damaged_pool,
    damages,
    places,
)
from tests.thin.metadata_tools import needs_tools, run
from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import BLOCK, RamStore
from thinsim.cli.main import status_of
from thinsim.dm.metadata_device import open_metadata
from thinsim.errors import EnvironmentLacksError
from thinsim.thin.metadata.btree_node import Node

Command = Callable[..., tuple[int, str, str]]


@functools.cache
def sound() -> RamStore:
    return damaged_pool().metadata


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run_command(*arguments: str | Path) -> tuple[int, str, str]:
        file = Path(arguments[-1])
        before = _state(file)
        status = status_of(["metadata", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert _state(file) == before, "looking has written"
        assert status in (0, 1), err
        assert err.count("\n") == (1 if err else 0), err
        for word in ("ENOTBLK", "EILSEQ", "Errno", "Traceback", "Block device required", "multibyte"):
            assert word not in out + err
        return status, out, err

    return run_command


def _state(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return digest, status.st_mtime_ns, status.st_size


def save(damage: Damage, path: Path) -> Path:
    store = sound().copy()
    block = places(sound())[damage.place]
    store.content[block] = damage.change(store.content[block])
    return store.save(path)


def _some_now_the_rest_long() -> list[Any]:
    """Each place with one kind of damage, each kind in turn; the rest of them are long."""
    seen: Counter[str] = Counter()
    turn = {place: number for number, place in enumerate(places(sound()))}
    marked = []
    for damage in damages(sound()):
        nr_kinds = len(ANY_BLOCK) if damage.place in NO_NODES else len(ANY_BLOCK | NODES)
        now = seen[damage.place] == turn[damage.place] % nr_kinds
        seen[damage.place] += 1
        marked.append(pytest.param(damage, id=str(damage), marks=[] if now else [pytest.mark.long]))
    return marked


DAMAGES = _some_now_the_rest_long()

# What thin_dump needs: the superblock's checksum, the trees of devices, each device's mappings.
_LIVE = ("mapping", "details", "thin ")
_HELD = ("held superblock", "held mapping", "held details", "held thin 3", "thin 1 ", "thin 2 ")
_SHARED = ("thin 1 root", "thin 1 leaf", "thin 2 root", "thin 2 leaf")


def readable(damage: Damage, *, held: bool) -> bool:
    if damage.place in ("superblock", "held superblock") and damage.kind == "another block's number":
        return True
    if damage.place == "superblock":
        return False
    if damage.place.startswith("held thin 3"):
        # The snapshots 11 and 15 of thin 3 have it still.
        return False
    return not damage.place.startswith(_HELD if held else _LIVE)


@needs_tools
@pytest.mark.parametrize("held", [False, True], ids=["live", "held"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_dump_prints_what_thin_dump_prints_and_names_what_can_not_be_read(
    command: Command, damage: Damage, held: bool, tmp_path: Path
) -> None:
    file = save(damage, tmp_path / "image")
    status, out, err = command("dump", *(["--snapshot"] if held else []), file)
    oracle = run("thin_dump", *(["-m"] if held else []), file)
    assert (status == 0) is readable(damage, held=held)
    if oracle.returncode == 0 and damage.kind != "no room":
        # thin_dump 0.9 takes a superblock with another number for a metadata snapshot's; 1.1 does not.
        theirs = oracle.stdout
        if not held and damage.place == "superblock":
            theirs = theirs.replace('nr_data_blocks="0"', 'nr_data_blocks="3000"', 1)
        assert (status, out, err) == (0, theirs, "")
    if status == 0:
        assert out.endswith("</superblock>\n")
        assert oracle.returncode == 0
        return
    assert "</superblock>" not in out
    block = places(sound())[damage.place]
    if str(damage) == "superblock: zeroed":
        assert err.startswith(f"thinsim: {file} holds no pool's metadata: it starts with zeros")
        return
    assert f"block {block} " in err or f"node {block} " in err or f"node {block}:" in err
    assert err.startswith(f"thinsim: {file}: ")
    if damage.place.startswith(("thin", "held thin")):
        assert "thin " in err


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_names_each_damage_and_where_it_is(command: Command, damage: Damage, tmp_path: Path) -> None:
    if str(damage) == "held superblock: another block's number":
        assert command("check", save(damage, tmp_path / "image"))[0] == 0  # thin_check does not look, either
        return
    status, out, err = command("check", "--json", save(damage, tmp_path / "image"))
    assert status == 1
    block = places(sound())[damage.place]
    if damage.place == "superblock" and damage.kind != "another block's number":
        assert out == ""
        assert ("it starts with zeros" if damage.kind == "zeroed" else "the superblock is damaged") in err
        return
    texts = [problem["text"] for problem in json.loads(out)["problems"]]
    if damage.place == "superblock":
        assert texts == ["superblock: it says it is block 77, not 0"]
        return
    where = {
        "mapping": "mapping tree: ",
        "details": "details tree: ",
        "thin": f"thin {damage.place.split()[1]}: ",
        "data index": "data space map index: ",
        "data bitmap": "data space map: ",
        "data counts": "data reference counts: ",
        "metadata index": "metadata space map index: ",
        "metadata bitmap": "metadata space map: ",
        "metadata counts": "metadata reference counts: ",
        "held superblock": "metadata snapshot: ",
        "held mapping": "metadata snapshot: mapping tree: ",
        "held details": "metadata snapshot: details tree: ",
        "held thin": "thin 11: ",
    }
    kind = next(key for key in sorted(where, key=len, reverse=True) if damage.place.startswith(key))
    named = [
        text
        for text in texts
        if f"block {block} " in text or f"node {block} " in text or f"node {block}:" in text
    ]
    assert len(named) == 1, texts
    assert named[0].startswith(where[kind])
    assert texts[-1].startswith("not all of the metadata can be read: ")
    assert len(texts) == 2, texts


@pytest.mark.parametrize("damage", DAMAGES)
def test_usage_needs_the_superblock_and_the_details_alone(
    command: Command, damage: Damage, tmp_path: Path
) -> None:
    file = save(damage, tmp_path / "image")
    whole = json.loads(command("usage", "--json", sound().save(tmp_path / "sound"))[1])
    status, out, err = command("usage", "--json", file)
    if damage.place == "superblock" and damage.kind != "another block's number":
        assert (status, out) == (1, "")
    elif damage.place.startswith("details"):
        block = places(sound())[damage.place]
        assert status == 1
        assert f"{file}: not all devices can be read: details tree: " in err
        assert f" {block} " in err or f" {block}:" in err
        found = json.loads(out)
        assert found["metadata_blocks"] == whole["metadata_blocks"]
        assert len(found["damage"]) == 1
        some = {device["dev_id"] for device in found["devices"]}
        everything = {device["dev_id"] for device in whole["devices"]}
        assert some < everything
        assert bool(some) is (damage.place == "details leaf")
    else:
        assert (status, err) == (0, "")
        assert json.loads(out) == whole


@needs_tools
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_superblock_is_no_more_to_dump_than_to_thin_dump(
    command: Command, field: str, tmp_path: Path
) -> None:
    change, problem = FIELDS[field]
    store = sound().copy()
    store.content[0] = change(store.content[0])
    file = store.save(tmp_path / "image")
    for options, theirs in (((), ()), (("--snapshot",), ("-m",))):
        status, out, err = command("dump", *options, file)
        oracle = run("thin_dump", *theirs, file)
        assert (status == 0) is (oracle.returncode == 0)
        if status == 0:
            assert (out, err) == (oracle.stdout, "")
    status, out, _ = command("check", file)
    assert status == (1 if problem else 0)
    assert problem in out
    assert command("usage", file)[0] == (1 if field == "details root far" else 0)


def test_several_damages_are_several_problems(command: Command, tmp_path: Path) -> None:
    store = sound().copy()
    hit = ("thin 2 leaf", "details leaf", "data bitmap", "metadata index", "held superblock")
    for place in hit:
        block = places(sound())[place]
        store.content[block] = ANY_BLOCK["a flipped bit"](store.content[block])
    status, out, _ = command("check", store.save(tmp_path / "image"))
    assert status == 1
    for place in hit:
        assert f" block {places(sound())[place]} " in out
    # Devices whose details can't be read are not said to have none.
    assert "has no details" not in out


def test_the_other_devices_are_dumped_when_one_is_damaged(command: Command, tmp_path: Path) -> None:
    whole = command("dump", sound().save(tmp_path / "sound"))[1]
    damage = next(each for each in damages(sound()) if str(each) == "thin 10 leaf: zeroed")
    file = save(damage, tmp_path / "image")
    status, out, err = command("dump", file)
    parts = [part.partition("</device>")[0].splitlines()[1:] for part in whole.split("<device ")[1:]]
    found = [part.partition("</device>")[0].splitlines()[1:] for part in out.split("<device ")[1:]]
    assert status == 1
    assert len(found) == len(parts)
    cut = [(mine, theirs) for mine, theirs in zip(found, parts, strict=True) if mine != theirs]
    assert [mine[-2].strip().startswith("<!-- cut short: thin 10: metadata block ") for mine, _ in cut] == [
        True
    ]
    assert f"{file}: not all of it can be read: thin 10: metadata block " in err
    document = json.loads(command("dump", "--json", file)[1])
    assert len(document["damage"]) == 1
    assert len(document["devices"]) == len(parts)


def _leaf(key: int, entries: int) -> Node:
    node = Node.empty(True, 8)
    for number in range(entries):
        node.insert(number, key + number, number << 24)
    return node


def _in_place_of_a_leaf(content: Callable[[Node], Node]) -> RamStore:
    """The sound pool with another node in the place of a leaf of thin 1, which has several."""
    store, place = sound().copy(), places(sound())["thin 1 leaf"]
    store.content[place] = content(Node.decode(store.content[place], place)).encode(place)
    return store


MISPLACED: dict[str, tuple[Callable[[Node], Node], str]] = {
    "of an earlier place": (lambda leaf: _leaf(0, 126), "begins at key 0, and its parent says "),
    "reaching into the next": (
        lambda leaf: _leaf(leaf.keys[0], 252),
        ", and the leaf before it ends at ",
    ),
    "without entries": (lambda leaf: _leaf(0, 0), "has no entries, and is not the root of a tree"),
}


@needs_tools
@pytest.mark.parametrize("kind", MISPLACED)
def test_a_whole_node_in_a_wrong_place_is_no_part_of_a_dump(
    command: Command, kind: str, tmp_path: Path
) -> None:
    content, said = MISPLACED[kind]
    file = _in_place_of_a_leaf(content).save(tmp_path / "image")
    assert run("thin_dump", file).returncode == 1
    status, out, err = command("dump", file)
    assert status == 1
    assert "</superblock>" not in out
    assert err.startswith(f"thinsim: {file}: not all of it can be read: thin 1: btree node ")
    assert said in err
    assert command("check", file)[0] == 1


@needs_tools
def test_a_leaf_with_few_entries_is_dumped_as_thin_dump_does(command: Command, tmp_path: Path) -> None:
    store = _in_place_of_a_leaf(lambda leaf: _leaf(leaf.keys[0], 5))
    file = store.save(tmp_path / "image")
    assert command("dump", file) == (0, run("thin_dump", file).stdout, "")
    assert "has 5 entries of 252, too few" in command("check", file)[1]


@pytest.mark.parametrize("where", ["mapping root", "thin 1 root"])
def test_a_tree_that_meets_itself_again_and_again_is_left_at_once(
    command: Command, where: str, tmp_path: Path
) -> None:
    store, root, spare = sound().copy(), places(sound())[where], places(sound())["details root"]
    # Each level leads 252 times to the next, the last to a leaf without entries: a walk of all never ends.
    chain = [root, spare, *(block for name, block in places(sound()).items() if name.startswith("data "))]
    for block, below in pairwise(dict.fromkeys(chain)):
        node = Node.empty(False, 8)
        for key in range(252):
            node.insert(key, key, below)
        store.content[block] = node.encode(block)
    store.content[below] = _leaf(0, 0).encode(below)
    file = store.save(tmp_path / "image")
    for verb in ("dump", "check", "usage"):
        status, _, err = command(verb, file)
        assert status == 1
        assert err or verb == "check"


@needs_tools
def test_nobody_restores_a_pool_from_a_dump_that_is_cut_short(command: Command, tmp_path: Path) -> None:
    damage = next(each for each in damages(sound()) if str(each) == "thin 10 leaf: zeroed")
    xml = tmp_path / "xml"
    assert command("dump", "-o", xml, save(damage, tmp_path / "image"))[0] == 1
    (tmp_path / "new").write_bytes(bytes(4 << 20))
    assert run("thin_restore", "-i", xml, "-o", tmp_path / "new").returncode == 1


def test_the_case_of_a_zeroed_index_is_dumped_whole(command: Command, tmp_path: Path) -> None:
    damage = next(each for each in damages(sound()) if str(each) == "metadata index: zeroed")
    file = save(damage, tmp_path / "image")
    whole = sound().save(tmp_path / "sound")
    for options in ((), ("--json",), ("--snapshot",)):
        assert command("dump", *options, file) == command("dump", *options, whole)
    assert command("usage", file) == command("usage", whole)
    block = places(sound())["metadata index"]
    assert command("check", file)[1].splitlines()[:-1] == [
        f"metadata space map index: metadata block {block} is no space map index: it says it is block 0",
        "not all of the metadata can be read: reference counts of metadata blocks are not checked",
    ]


@needs_tools
@pytest.mark.parametrize("size", [BLOCK, 50 * BLOCK, 200 * BLOCK + 100, 511 * BLOCK])
def test_a_file_that_is_cut_short_is_named(command: Command, size: int, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, size)
    status, out, _ = command("check", file)
    assert status == 1
    assert (
        f"it counts 512 metadata blocks, and the device or file has {size // BLOCK}: it is cut short" in out
    )
    status, out, err = command("dump", file)
    oracle = run("thin_dump", file)
    assert (status == 0) is (oracle.returncode == 0)
    if status == 0:
        assert out == oracle.stdout
    else:
        assert f"is beyond the device's {size // BLOCK} blocks" in err


def test_a_larger_file_is_sound(command: Command, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, 700 * BLOCK)
    assert command("check", file)[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes, a superblock alone has 4096"),
        (b"\1" * 100, "it has 100 bytes, a superblock alone has 4096"),
        (bytes(8192), "it starts with zeros"),
        (b'<superblock uuid="" time="1"', "it is the XML of a dump: make an image of it with thin_restore"),
        (b"\n<superblock".ljust(9000, b" "), "it is the XML of a dump"),
        (b"\x1f\x8b".ljust(9000, b"x"), "it is compressed by gzip: unpack it first"),
        (b"BZh91AY&SY", "it is compressed by bzip2: unpack it first"),
        (b"hello\n" * 2000, "metadata block 0 is no superblock: magic "),
    ],
)
@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_what_is_no_metadata_is_told(
    command: Command, verb: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    status, out, err = command(verb, file)
    assert (status, out) == (1, "")
    assert f"{file} holds no pool's metadata: " in err
    assert said in err


@pytest.mark.parametrize("verb", ["check", "dump", "usage"])
def test_a_path_that_is_no_file_is_told_and_never_waited_for(
    command: Command, verb: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a character device")):
        status, out, err = command(verb, path)
        assert (status, out) == (1, "")
        assert err == f"thinsim: {path} is {kind}: a pool's metadata is in a file or on a block device\n"
    assert status_of(["metadata", verb, str(tmp_path)]) == 2
    assert status_of(["metadata", verb, str(tmp_path / "none")]) == 2


def test_a_read_only_sparse_file_is_looked_at(command: Command, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    os.truncate(file, 64 << 20)
    file.chmod(0o400)
    assert file.stat().st_blocks * 512 < file.stat().st_size
    for verb in ("check", "dump", "usage"):
        assert command(verb, file)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root, which can become somebody else")
def test_who_may_not_read_is_told_how(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = sound().save(tmp_path / "image")
    file.chmod(0o000)
    tmp_path.chmod(0o755)
    child = os.fork()
    if not child:  # pragma: no cover (another process)
        os.seteuid(65534)
        os._exit(_status_for_nobody(file))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert f"no permission to read {file}: run it as root" in capfd.readouterr().err


def _status_for_nobody(file: Path) -> int:
    try:
        with open_metadata(file):
            return 0
    except EnvironmentLacksError as error:
        os.write(2, f"{error}\n".encode())
        return 1


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() or shutil.which("losetup") is None or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")
    file = sound().save(tmp_path / "image")
    made = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True, check=True)
    device = made.stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "-d", device], check=True)


def test_a_device_in_use_is_refused_but_for_its_metadata_snapshot(
    command: Command, loop_device: Path, tmp_path: Path
) -> None:
    file = tmp_path / "image"
    for verb in ("check", "dump", "usage"):
        assert command(verb, loop_device)[0] == 0
    assert command("dump", loop_device)[1] == command("dump", file)[1]
    holder = os.open(loop_device, os.O_RDONLY | os.O_EXCL)
    try:
        for verb in ("check", "dump", "usage"):
            status, out, err = command(verb, loop_device)
            assert (status, out) == (1, "")
            assert err.startswith(f"thinsim: {loop_device} is in use, by a pool or a mount")
            assert "reserve_metadata_snap" in err
        assert command("dump", "--snapshot", loop_device)[1] == command("dump", "--snapshot", file)[1]
    finally:
        os.close(holder)


def test_a_dump_never_writes_over_what_it_dumps(command: Command, tmp_path: Path) -> None:
    file = sound().save(tmp_path / "image")
    (tmp_path / "link").symlink_to(file)
    for output in (file, tmp_path / "link"):
        status, _, err = command("dump", "-o", output, file)
        assert status == 1
        assert err == f"thinsim: {output} is what is to be dumped: write to another file\n"


def test_an_output_that_takes_no_more_is_named(command: Command, tmp_path: Path) -> None:
    status, _, err = command("dump", "-o", "/dev/full", sound().save(tmp_path / "image"))
    assert (status, err) == (1, "thinsim: /dev/full: No space left on device\n")


def test_a_dump_without_a_snapshot_says_what_to_do(command: Command, tmp_path: Path) -> None:

    file = RamPool().metadata.save(tmp_path / "image")
    status, out, err = command("dump", "--snapshot", file)
    assert (status, out) == (1, "")
    assert err == f"thinsim: no metadata snapshot is held in {file}: dump it without --snapshot\n"


@needs_tools
def test_a_device_of_one_tree_alone_is_dumped_as_thin_dump_does(command: Command, tmp_path: Path) -> None:
    store = sound().copy()
    roots = places(sound())
    lacks = {"details": "thin 0 has no details", "mapping": ""}
    for tree, said in lacks.items():
        other = store.copy()
        # An empty leaf in the place of the root: neither tree has a device any more.

        root = roots[f"{tree} root"]
        other.content[root] = Node.empty(True, 24 if tree == "details" else 8).encode(root)
        file = other.save(tmp_path / "image")
        status, out, err = command("dump", file)
        oracle = run("thin_dump", file)
        assert (status == 0) is (oracle.returncode == 0)
        assert said in err
        if status == 0:
            assert out == oracle.stdout
