"""Each target type that a table may name has one record and one file."""
