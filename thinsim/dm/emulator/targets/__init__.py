"""The target types that a table may name: one record and one file each."""
