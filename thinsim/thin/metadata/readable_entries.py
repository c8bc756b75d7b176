"""`readable_entries` yields the entries of each readable leaf of a damaged btree."""

from collections.abc import Callable, Iterator
from typing import Any

from thinsim.errors import KernelError
from thinsim.thin.metadata.blocks import BlockCache
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.btree_spine import checked_node
from thinsim.thin.metadata.errors import reason


def _ignore(text: str) -> None:
    pass


def readable_entries(
    blocks: BlockCache, root: int, value_size: int, damage: Callable[[str], None] = _ignore
) -> Iterator[tuple[int, Any]]:
    """Yield the (key, value) pairs of the tree at *root*; call *damage* for each node that can't be read.

    A node is read only once, even if several nodes point to it. In a sound tree the keys ascend.
    """
    pending, seen = [root], {root}
    while pending:
        block = pending.pop()
        try:
            node = checked_node(blocks.get(block, Node), block, value_size)
        except (KernelError, OSError) as error:
            damage(reason(error))
            continue
        if node.is_leaf:
            yield from zip(node.keys, node.values, strict=True)
            continue
        children = [child for child in dict.fromkeys(node.values) if child not in seen]
        seen.update(children)
        pending += reversed(children)
