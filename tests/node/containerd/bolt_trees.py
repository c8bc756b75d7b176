"""`trees` are hypothesis strategies for random buckets; `tree_of` turns what was read to the same form."""

from hypothesis import strategies as st

from tests.node.containerd.bolt_writer import BoltShape, BoltTree
from thinsim.node.containerd.bolt import BoltBucket

KEYS = st.binary(min_size=1, max_size=12) | st.binary(min_size=200, max_size=700)
VALUES = st.binary(max_size=40) | st.integers(500, 20000).map(lambda size: b"v" * size)

SHAPES = st.builds(
    BoltShape,
    page_size=st.sampled_from([512, 1024, 4096]),
    leaf_items=st.integers(1, 9),
    fan_out=st.integers(2, 5),
    inline=st.booleans(),
)


def _buckets(inner: st.SearchStrategy[BoltTree]) -> st.SearchStrategy[BoltTree]:
    return st.dictionaries(KEYS, VALUES | inner, max_size=12)


TREES: st.SearchStrategy[BoltTree] = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=12), _buckets, max_leaves=12
)


def tree_of(bucket: BoltBucket) -> BoltTree:
    """Return the values and the buckets of *bucket* as a tree of the test writer."""
    return {**bucket.values, **{key: tree_of(inner) for key, inner in bucket.buckets.items()}}
