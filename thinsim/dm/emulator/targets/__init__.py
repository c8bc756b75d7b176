"""The target types that a table may name, one a file."""
