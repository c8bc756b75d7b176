"""A guest is a throw-away virtual machine: a distribution kernel on this machine's files, copy-on-write."""
