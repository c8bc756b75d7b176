"""A dump detects btree nodes that are valid but in the wrong place."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.thin.damaged_images import sound
from tests.thin.metadata_command import MetadataCommand
from tests.thin.metadata_damages import places
from tests.thin.metadata_tools import dumps_misplaced_nodes, needs_tools, run, thin_dump
from tests.thin.ram_store import RamStore
from thinsim.thin.metadata.btree_node import Node


def _leaf(key: int, entries: int) -> Node:
    node = Node.empty(True, 8)
    for number in range(entries):
        node.insert(number, key + number, number << 24)
    return node


def _in_place_of_a_leaf(content: Callable[[Node], Node]) -> RamStore:
    """Return the sound pool with another node in place of a leaf of thin 1, which has several leaves."""
    store, place = sound().copy(), places(sound())["thin 1 leaf"]
    store.content[place] = content(Node.decode(store.content[place], place)).encode(place)
    return store


MISPLACED: dict[str, tuple[Callable[[Node], Node], str]] = {
    "of an earlier place": (lambda leaf: _leaf(0, 126), "begins at key 0, but its parent has it at "),
    "reaching into the next": (
        lambda leaf: _leaf(leaf.keys[0], 252),
        ", but the leaf before it ends at ",
    ),
    "without entries": (lambda leaf: _leaf(0, 0), "has no entries, but is not the root of a tree"),
}


@needs_tools
@pytest.mark.parametrize("kind", MISPLACED)
def test_a_misplaced_node_is_not_dumped(command: MetadataCommand, kind: str, tmp_path: Path) -> None:
    content, said = MISPLACED[kind]
    file = _in_place_of_a_leaf(content).save(tmp_path / "image")
    assert (run("thin_dump", file).returncode == 0) is dumps_misplaced_nodes()
    status, out, err = command("dump", file)
    assert status == 1
    assert "</superblock>" not in out
    assert err.startswith(f"thinsim: {file}: not all of it can be read: thin 1: btree node ")
    assert said in err
    assert command("check", file)[0] == 1


@needs_tools
def test_a_leaf_with_few_entries_is_dumped_as_thin_dump_does(
    command: MetadataCommand, tmp_path: Path
) -> None:
    store = _in_place_of_a_leaf(lambda leaf: _leaf(leaf.keys[0], 5))
    file = store.save(tmp_path / "image")
    assert command("dump", file) == (0, thin_dump(file), "")
    assert "has too few entries: 5 of 252" in command("check", file)[1]


@pytest.mark.parametrize("where", ["mapping root", "thin 1 root"])
def test_the_walk_of_a_repeating_tree_ends_at_once(
    command: MetadataCommand, where: str, tmp_path: Path
) -> None:
    store, root, spare = sound().copy(), places(sound())[where], places(sound())["details root"]
    # Each level points 252 times to the next, the last to an empty leaf: a walk of all paths would not end.
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
