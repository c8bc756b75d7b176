"""Node reads what a machine's own programs know about its pools, and changes nothing."""
