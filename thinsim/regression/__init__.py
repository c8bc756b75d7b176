"""Compares runs with a stored baseline: what leaks more, no longer holds, became slower."""
