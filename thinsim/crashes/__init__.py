"""The crash campaign: the snapshotter killed before every step of every operation."""
