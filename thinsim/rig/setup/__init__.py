"""The set-ups of containerd's documentation bring a pool onto its devices."""
