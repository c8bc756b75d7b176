"""Puts the same discards to every subject and looks at each height."""
