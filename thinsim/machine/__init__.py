"""Keeps account of what a run takes from the machine, and gives it back."""
