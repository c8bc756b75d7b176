"""Boots a throw-away virtual machine: this machine's files, copy-on-write, under a distribution kernel."""
