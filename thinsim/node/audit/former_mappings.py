"""`former_mappings` looks in old metadata for the thin ids that mapped freed data blocks last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from thinsim.thin.metadata.best_claims import OwnedRun
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.stale_nodes import read_stale_nodes
from thinsim.thin.metadata.stale_owners import last_owners
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.view import MetadataView
from thinsim.thin.metadata.wanted_blocks import WantedBlocks

_LOOKS = 5
"""Tries to read the metadata of a pool that runs: a commit may change it meanwhile."""


@dataclass(frozen=True, slots=True)
class FormerMappings:
    """A `FormerMappings` has runs of free data blocks with the thin id that mapped them last, in order."""

    runs: Sequence[OwnedRun] = ()
    cut: bool = False
    """True if a limit ended the search early."""
    fault: str = ""
    """The reason why old metadata can't be read; empty if it can."""


def former_mappings(store: MetadataStore, freed: Sequence[BlockRun] | None = None) -> FormerMappings:
    """Return the last thin ids of the data blocks in the sorted runs *freed*; with None, of all free ones.

    A pool may use the metadata meanwhile. Nodes in blocks that it may have used again are then left out.
    """
    for left in reversed(range(_LOOKS)):
        try:
            return _read(store, freed)
        except (MetadataDamagedError, OSError) as error:
            if not left:
                return FormerMappings(fault=str(error))
    raise AssertionError("the last look returns")


def _read(store: MetadataStore, freed: Iterable[BlockRun] | None) -> FormerMappings:
    view = MetadataView(store)
    if freed is None:
        counts = view.data_counts()
        freed = free_runs(counts, 0, counts.nr_blocks)
    wanted = WantedBlocks(freed)
    nodes = read_stale_nodes(view, wanted, present_index=lambda: _present_index(store))
    return FormerMappings(last_owners(MetadataView(store), nodes, wanted), nodes.cut)


def _present_index(store: MetadataStore) -> int:
    return MetadataView(store).superblock.metadata_space_map.bitmap_root
