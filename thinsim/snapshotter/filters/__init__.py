"""containerd's filter language says which of a list's entries are wanted. Pure."""
