"""The command line has a module per command, and what commands share."""
