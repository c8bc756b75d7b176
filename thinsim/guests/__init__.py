"""Scenarios and reproductions that run in a guest."""
