"""The steps of a scenario file."""
