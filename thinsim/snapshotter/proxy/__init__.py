"""Serves the snapshotter as a containerd proxy plugin: its gRPC snapshots API on a unix socket."""
