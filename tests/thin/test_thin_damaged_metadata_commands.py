"""``thinsim metadata`` names each damage of an image; thin_dump is the oracle."""

import json
from pathlib import Path

import pytest

from tests.thin.damaged_images import save_damaged, some_now_the_rest_long, sound
from tests.thin.metadata_command import MetadataCommand
from tests.thin.metadata_damages import ANY_BLOCK, FIELDS, Damage, places
from tests.thin.metadata_tools import dumps_misplaced_nodes, needs_tools, run
from thinsim.thin.metadata.dump_reading import lines_of_0_9

DAMAGES = some_now_the_rest_long()


# thin_dump needs the superblock's checksum, the trees of devices and each device's mappings.
_LIVE = ("mapping", "details", "thin ")


_HELD = ("held superblock", "held mapping", "held details", "held thin 3", "thin 1 ", "thin 2 ")


_FOLLOWED = ("another block's number", "internal and leaf")
"""The damages of a device's nodes that thin_dump overlooks from 1.0 on; the kernel refuses these nodes."""


def readable(damage: Damage, *, held: bool) -> bool:
    if damage.place in ("superblock", "held superblock") and damage.kind == "another block's number":
        return True
    if damage.place == "superblock":
        return False
    if damage.place.startswith("held thin 3"):
        # The snapshots 11 and 15 of thin 3 still have it.
        return False
    return not damage.place.startswith(_HELD if held else _LIVE)


@needs_tools
@pytest.mark.parametrize("held", [False, True], ids=["live", "held"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_dump_prints_the_lines_of_thin_dump_and_names_unreadable_parts(
    command: MetadataCommand, damage: Damage, held: bool, tmp_path: Path
) -> None:
    file = save_damaged(damage, tmp_path / "image")
    status, out, err = command("dump", *(["--snapshot"] if held else []), file)
    oracle = run("thin_dump", *(["-m"] if held else []), file)
    assert (status == 0) is readable(damage, held=held)
    if status != 0 and dumps_misplaced_nodes() and damage.kind in _FOLLOWED:
        pass
    elif oracle.returncode == 0 and damage.kind != "no room":
        # thin_dump 0.9 accepts a superblock with another number for a metadata snapshot; 1.1 does not.
        theirs = lines_of_0_9(oracle.stdout)
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
def test_check_names_each_damage_and_its_place(
    command: MetadataCommand, damage: Damage, tmp_path: Path
) -> None:
    if str(damage) == "held superblock: another block's number":
        assert (
            command("check", save_damaged(damage, tmp_path / "image"))[0] == 0
        )  # thin_check does not look either
        return
    status, out, err = command("check", "--json", save_damaged(damage, tmp_path / "image"))
    assert status == 1
    block = places(sound())[damage.place]
    if damage.place == "superblock" and damage.kind != "another block's number":
        assert out == ""
        assert ("it starts with zeros" if damage.kind == "zeroed" else "the superblock is damaged") in err
        return
    texts = [problem["text"] for problem in json.loads(out)["problems"]]
    if damage.place == "superblock":
        assert texts == ["superblock: its block number is 77, not 0"]
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
    command: MetadataCommand, damage: Damage, tmp_path: Path
) -> None:
    file = save_damaged(damage, tmp_path / "image")
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
def test_dump_treats_a_superblock_field_as_thin_dump_does(
    command: MetadataCommand, field: str, tmp_path: Path
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
            assert (out, err) == (lines_of_0_9(oracle.stdout), "")
    status, out, _ = command("check", file)
    assert status == (1 if problem else 0)
    assert problem in out
    assert command("usage", file)[0] == (1 if field == "details root far" else 0)


def test_several_damages_are_several_problems(command: MetadataCommand, tmp_path: Path) -> None:
    store = sound().copy()
    hit = ("thin 2 leaf", "details leaf", "data bitmap", "metadata index", "held superblock")
    for place in hit:
        block = places(sound())[place]
        store.content[block] = ANY_BLOCK["a flipped bit"](store.content[block])
    status, out, _ = command("check", store.save(tmp_path / "image"))
    assert status == 1
    for place in hit:
        assert f" block {places(sound())[place]} " in out
    # Check does not report a device with unreadable details as one without details.
    assert "has no details" not in out
