"""``python -m fuse_backing`` runs the command ``fuse-backing``."""

from fuse_backing.cli import main

main()
