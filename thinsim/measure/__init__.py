"""Measures the same discard at four heights, and names the owner of every byte lost between two."""
