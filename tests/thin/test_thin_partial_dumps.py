"""A dump of damaged metadata prints the readable part, and can't be restored."""

import json
from pathlib import Path

from tests.thin.damaged_images import damage_named, save_damaged, sound
from tests.thin.metadata_command import MetadataCommand
from tests.thin.metadata_damages import places
from tests.thin.metadata_tools import dumps_misplaced_nodes, needs_tools, run
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.dump_reading import lines_of_0_9


def test_the_other_devices_are_dumped_when_one_is_damaged(command: MetadataCommand, tmp_path: Path) -> None:
    whole = command("dump", sound().save(tmp_path / "sound"))[1]
    damage = damage_named("thin 10 leaf: zeroed")
    file = save_damaged(damage, tmp_path / "image")
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


@needs_tools
def test_a_dump_that_is_cut_short_can_not_be_restored(command: MetadataCommand, tmp_path: Path) -> None:
    damage = damage_named("thin 10 leaf: zeroed")
    xml = tmp_path / "xml"
    assert command("dump", "-o", xml, save_damaged(damage, tmp_path / "image"))[0] == 1
    (tmp_path / "new").write_bytes(bytes(4 << 20))
    assert run("thin_restore", "-i", xml, "-o", tmp_path / "new").returncode != 0


def test_metadata_with_a_zeroed_index_is_dumped_whole(command: MetadataCommand, tmp_path: Path) -> None:
    damage = damage_named("metadata index: zeroed")
    file = save_damaged(damage, tmp_path / "image")
    whole = sound().save(tmp_path / "sound")
    for options in ((), ("--json",), ("--snapshot",)):
        assert command("dump", *options, file) == command("dump", *options, whole)
    assert command("usage", file) == command("usage", whole)
    block = places(sound())["metadata index"]
    assert command("check", file)[1].splitlines()[:-1] == [
        f"metadata space map index: metadata block {block} is not a valid space map index: "
        "it carries block number 0",
        "not all of the metadata can be read: reference counts of metadata blocks are not checked",
    ]


@needs_tools
def test_a_device_of_one_tree_alone_is_dumped_as_thin_dump_does(
    command: MetadataCommand, tmp_path: Path
) -> None:
    store = sound().copy()
    roots = places(sound())
    lacks = {"details": "thin 0 has no details", "mapping": ""}
    for tree, said in lacks.items():
        other = store.copy()
        # An empty leaf replaces the root, so neither tree has a device.
        root = roots[f"{tree} root"]
        other.content[root] = Node.empty(True, 24 if tree == "details" else 8).encode(root)
        file = other.save(tmp_path / "image")
        status, out, err = command("dump", file)
        oracle = run("thin_dump", file)
        assert said in err
        # thin_dump leaves out a device without details from 1.0 on.
        assert (
            oracle.returncode == 0 if dumps_misplaced_nodes() else (status == 0) is (oracle.returncode == 0)
        )
        if status == 0:
            assert out == lines_of_0_9(oracle.stdout)
