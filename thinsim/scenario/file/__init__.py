"""Scenarios as files: a TOML file says what is done to a snapshotter and what must come of it."""
