"""`former_mappings` looks in old metadata for the thin ids that mapped freed data blocks last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.stale_nodes import StaleNodes, read_stale_nodes
from thinsim.thin.metadata.stale_owners import last_owners
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.view import MetadataView

_LOOKS = 5
"""Tries to read the metadata of a pool that runs: a commit may change it meanwhile."""


@dataclass(frozen=True, slots=True)
class FormerMappings:
    """A `FormerMappings` has the thin id that mapped a data block last, by data block."""

    thin_ids: Mapping[int, int]
    cut: bool = False
    """True if the metadata has more old blocks than are read."""
    fault: str = ""
    """The reason why old metadata can't be read; empty if it can."""


def former_mappings(store: MetadataStore, freed: Sequence[BlockRun] | None = None) -> FormerMappings:
    """Return the last thin ids of the data blocks in the sorted runs *freed*; with None, of all free ones.

    A pool may use the metadata meanwhile. Nodes in blocks that it may have used again are then left out.
    """
    for left in reversed(range(_LOOKS)):
        try:
            view, nodes = _read(store, freed)
            return FormerMappings(last_owners(view, nodes), nodes.cut)
        except (MetadataDamagedError, OSError) as error:
            if not left:
                return FormerMappings({}, fault=str(error))
    raise AssertionError("the last look returns")


def _read(store: MetadataStore, freed: Sequence[BlockRun] | None) -> tuple[MetadataView, StaleNodes]:
    view = MetadataView(store)
    if freed is None:
        counts = view.data_counts()
        freed = list(free_runs(counts, 0, counts.nr_blocks))
    nodes = read_stale_nodes(view, freed)
    now = MetadataView(store)
    nodes.keep_unchanged(now.superblock.metadata_space_map.bitmap_root)
    return now, nodes
