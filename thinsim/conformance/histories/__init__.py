"""The operations that are put to every subject."""
