"""The crash campaign kills the snapshotter before every step of every operation."""
