"""containerd's filter language: which of a list's entries are wanted. Pure."""
