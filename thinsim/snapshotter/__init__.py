"""The devmapper snapshotter core: containerd's contract on a thin pool."""
