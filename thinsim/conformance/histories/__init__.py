"""Histories hold the operations that are put to every subject."""
