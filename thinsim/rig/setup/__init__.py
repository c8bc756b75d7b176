"""The set-ups of containerd's documentation: how a pool comes onto its devices."""
