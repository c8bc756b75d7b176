"""A scenario file in TOML says what is done to a snapshotter and what must come of it."""
