"""Plays the scenario with the unmodified containerd as its subject, on the pool of a rig."""
