"""Runs the command as ``python -m fuse_backing``."""

from fuse_backing.cli import main

main()
