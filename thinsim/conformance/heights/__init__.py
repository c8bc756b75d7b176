"""The same discards at each height, on every subject."""
