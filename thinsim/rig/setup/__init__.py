"""The set-ups in the containerd documentation create a pool on its devices."""
