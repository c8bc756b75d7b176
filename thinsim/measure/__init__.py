"""Measure the same discard at four heights, and name the owner of every byte lost between two of them."""
