"""The devmapper snapshotter implements containerd's snapshotter contract on a thin pool."""
