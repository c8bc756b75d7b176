"""A filter selects entries of a list in containerd's filter language. Pure."""
