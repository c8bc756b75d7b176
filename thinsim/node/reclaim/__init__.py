"""A reclaim discards the data blocks that a pool has freed, so that the host gets their space."""
