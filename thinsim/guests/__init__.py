"""Runs scenarios and reproductions in a guest."""
