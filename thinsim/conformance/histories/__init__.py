"""A history has the operations that thinsim runs on every subject."""
