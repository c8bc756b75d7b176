"""The devmapper snapshotter core keeps containerd's contract on a thin pool."""
