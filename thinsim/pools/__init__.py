"""A lasting pool outlives the command that made it, like the pool of containerd's documentation."""
