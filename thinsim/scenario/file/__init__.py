"""A scenario file in TOML lists steps for a snapshotter and the results that they must have."""
