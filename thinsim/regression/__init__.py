"""Runs against a stored baseline: what leaks more, what no longer holds, what became slower."""
