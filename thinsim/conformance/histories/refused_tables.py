"""The kernel refuses most of these tables, and accepts some that look wrong.

The source of the refusals is dm-thin.c, pool_ctr and thin_ctr.
"""

POOL_TABLES = (
    "0 8192 thin-pool",
    "0 8192 thin-pool {metadata} {data} 128",
    "0 8192 thin-pool {metadata} {metadata} 128 0",
    "0 8192 thin-pool {metadata} {data} 0 0",
    "0 8192 thin-pool {metadata} {data} 64 0",
    "0 8192 thin-pool {metadata} {data} 129 0",
    "0 8192 thin-pool {metadata} {data} x 0",
    "0 8192 thin-pool {metadata} {data} 0x80 0",
    "0 8192 thin-pool {metadata} {data} 2097280 0",
    "0 8192 thin-pool {metadata} {data} 128 x",
    "0 8192 thin-pool {metadata} {data} 128 -1",
    "0 8192 thin-pool {metadata} {data} 128 0 1",
    "0 8192 thin-pool {metadata} {data} 128 0 x",
    "0 8192 thin-pool {metadata} {data} 128 0 1 frobnicate",
    "0 8192 thin-pool {metadata} {data} 128 0 5 skip_block_zeroing ignore_discard no_discard_passdown "
    "read_only error_if_no_space",
    "0 8192 thin-pool {metadata} {data} 128 0 2 SKIP_BLOCK_ZEROING error_if_no_space",
    "0 8192 thin-pool {metadata} {data} 128 0 1 skip_block_zeroing and more",
    "0 99999999 thin-pool {metadata} {data} 128 0",
    "0 8192 thin-pool /dev/nothing {data} 128 0",
    "0 8192 thin-pool {metadata} /dev/nothing 128 0",
    "8 8192 thin-pool {metadata} {data} 128 0",
    "0 8192 thin-pool {metadata} {data} 128 0\n8192 8192 zero",
)
"""The tables of a pool."""

THIN_TABLES = (
    "0 16384 thin",
    "0 16384 thin /dev/mapper/{pool}",
    "0 16384 thin /dev/mapper/{pool} x",
    "0 16384 thin /dev/mapper/{pool} 7",
    "0 16384 thin /dev/mapper/{pool} 16777216",
    "0 16384 thin /dev/mapper/{pool} -1",
    "0 16384 thin {data} 1",
    "0 16384 thin {other} 1",
    "0 16384 thin /dev/mapper/{pool} 1 /dev/mapper/{pool}",
    "0 16384 thin /dev/mapper/{pool} 1 /dev/nothing",
    "0 16384 thin /dev/mapper/{pool} 1 {other} more",
    "0 100 thin /dev/mapper/{pool} 1",
    "0 99999999 thin /dev/mapper/{pool} 1",
    "0 128 thin /dev/mapper/{pool} 1\n128 128 thin /dev/mapper/{pool} 2",
)
"""The tables of a thin device; the pool has the thin ids 1 and 2."""
