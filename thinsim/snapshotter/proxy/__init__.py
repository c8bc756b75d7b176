"""The proxy plugin serves the snapshotter to containerd over its gRPC snapshots API on a unix socket."""
