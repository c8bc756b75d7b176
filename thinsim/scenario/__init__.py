"""Says what is done to a snapshotter, phase by phase: an import, a container's writes, removals."""
